"""Make the certificates of the git server, unless they are there: good ones and useless ones.

usage: make_certificates.py FOLDER NAME
"""

import datetime
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
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificates = {
        "good": authority.issue_cert(name),
        "expired": authority.issue_cert(
            name, not_before=yesterday - datetime.timedelta(days=1), not_after=yesterday
        ),
        "other_name": authority.issue_cert("other.example.org"),
    }
    for kind, certificate in certificates.items():
        certificate.private_key_and_cert_chain_pem.write_to_path(str(new / f"{kind}.pem"))
    authority.cert_pem.write_to_path(str(new / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(new / "other_ca.pem"))
    new.rename(folder)
    sys.stdout.write("made\n")


main()
