"""Make an authority, and the certificate of the git server, unless they are there.

usage: make_certificates.py FOLDER NAME
"""

import sys
from pathlib import Path

import trustme


def main():
    folder, name = Path(sys.argv[1]), sys.argv[2]
    if folder.exists():
        return
    new = folder.with_suffix(".new")
    new.mkdir(mode=0o700, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(new / "ca.pem"))
    server = authority.issue_cert(name)
    server.private_key_and_cert_chain_pem.write_to_path(str(new / "server.pem"))
    new.rename(folder)
    sys.stdout.write("made\n")


main()
