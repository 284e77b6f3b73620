# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish a git repository: every commit a tree of its own, and one link flipped between them.

A reader that must not lose its release holds a shared flock on the release's directory:

    fd = os.open(path := os.path.realpath(LINK), os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    os.path.samestat(os.fstat(fd), os.stat(path))    # False or FileNotFoundError: begin again

Whoever uses a release may set its modification time: retention counts from there.
"""
