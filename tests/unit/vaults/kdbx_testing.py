"""KeePass databases of every format, written for tests, whose key derivation takes no time."""

import base64
import gzip
import hashlib
import hmac
import io
import os
import struct

from argon2.low_level import Type, hash_secret_raw
from Cryptodome.Cipher import AES, ChaCha20, Salsa20
from Cryptodome.Util.Padding import pad
from pykeepass import PyKeePass
from pykeepass.kdbx_parsing.kdbx4 import kdf_uuids
from pykeepass.kdbx_parsing.twofish import Twofish

PASSWORD = "máster"
CIPHERS = {
    "aes256": "31c1f2e6bf714350be5805216afc5aff",
    "twofish": "ad68f29f576f4bb9a36ad47af965346c",
    "chacha20": "d6038a2b8b6f4cb5a524339a31dbb59a",
}


def format_4(*, cipher="chacha20", kdf="argon2", minor=0, password=PASSWORD, key=None, kdf_of=None):
    """Return a database of format 4; `kdf_of` changes settings of the key derivation."""
    master, seed, stream_key = os.urandom(32), os.urandom(32), os.urandom(64)
    iv = os.urandom(12 if cipher == "chacha20" else 16)
    settings = {"$UUID": kdf_uuids[kdf], "S": seed}
    more = {"R": 500} if kdf == "aeskdf" else {"I": 1, "M": 8 * 1024, "P": 1, "V": 0x13}
    settings |= more | (kdf_of or {})
    fields = [
        (2, bytes.fromhex(CIPHERS[cipher])), (3, struct.pack("<I", 1)), (4, master), (7, iv),
        (11, dictionary(settings)), (0, b"\r\n\r\n"),
    ]  # fmt: skip
    header = b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5" + struct.pack("<HH", minor, 4)
    header += b"".join(struct.pack("<BI", kind, len(data)) + data for kind, data in fields)
    transformed = transform(settings, composite(password, key))
    hash_of_key = hashlib.sha512(stream_key).digest()
    xml = xml_of(ChaCha20.new(key=hash_of_key[:32], nonce=hash_of_key[32:44]))
    inner = [(1, struct.pack("<I", 3)), (2, stream_key), (3, b"\0" + os.urandom(2000)), (0, b"")]
    plain = b"".join(struct.pack("<BI", kind, len(data)) + data for kind, data in inner) + xml
    body = encrypted(
        cipher, hashlib.sha256(master + transformed).digest(), iv, gzip.compress(plain)
    )
    base = hashlib.sha512(master + transformed + b"\1").digest()

    def code(number, data):
        of_block = hashlib.sha512(struct.pack("<Q", number) + base).digest()
        return hmac.digest(of_block, data, "sha256")

    blocks = b""
    for number, block in enumerate((body, b"")):
        length = struct.pack("<I", len(block))
        blocks += code(number, struct.pack("<Q", number) + length + block) + length + block
    return header + hashlib.sha256(header).digest() + code((1 << 64) - 1, header) + blocks


def dictionary(settings):
    """Return settings of a key derivation as the header has them."""
    written = b"\0\1"
    for name, value in settings.items():
        kind = 0x42 if isinstance(value, bytes) else 4 if name in "PV" else 5
        data = value if kind == 0x42 else struct.pack("<I" if kind == 4 else "<Q", value)
        written += struct.pack("<BI", kind, len(name)) + name.encode()
        written += struct.pack("<I", len(data)) + data
    return written + b"\0"


def composite(password, key):
    secret = b"" if password is None else hashlib.sha256(password.encode()).digest()
    return hashlib.sha256(secret + (key or b"")).digest()


def transform(settings, key):
    """Derive the key; where the settings are no possible ones, nothing needs it."""
    kdf = settings["$UUID"]
    if kdf == kdf_uuids["aeskdf"]:
        cipher = AES.new(settings["S"], AES.MODE_ECB)
        for _ in range(settings["R"] if settings["R"] <= 70_000 else 0):
            key = cipher.encrypt(key)
        return hashlib.sha256(key).digest()
    if settings["I"] > 1 or settings["P"] != 1 or settings["M"] != 8 * 1024 or not any(kdf):
        return bytes(32)
    kind = Type.ID if kdf == kdf_uuids["argon2id"] else Type.D
    return hash_secret_raw(key, settings["S"], 1, 8, 1, 32, kind, settings["V"])


def encrypted(cipher, key, iv, plain):
    if cipher == "chacha20":
        return ChaCha20.new(key=key, nonce=iv).encrypt(plain)
    if cipher == "twofish":
        return Twofish.new(key, mode=Twofish.MODE_CBC, IV=iv).encrypt(pad(plain, 16))
    return AES.new(key, AES.MODE_CBC, iv).encrypt(pad(plain, 16))


def xml_of(stream=None, *, header_hash="", more=""):
    """Return the XML of an entry X, whose password is `s3cret`; `stream` encrypts that."""

    def protected(text):
        value = stream.encrypt(text.encode()) if stream else text.encode()
        return f'<Value Protected="True">{base64.b64encode(value).decode()}</Value>'

    strings = {"Title": "<Value>X</Value>", "UserName": "<Value>u</Value>",
               "Password": protected("s3cret"), "URL": "<Value>https://h/</Value>",
               "pin": protected("774411"), "team": "<Value>data</Value>"}  # fmt: skip
    strings = "".join(f"<String><Key>{key}</Key>{value}</String>" for key, value in strings.items())
    uuid = "<UUID>" + base64.b64encode(os.urandom(16)).decode() + "</UUID>"
    return (
        f"<KeePassFile><Meta><HeaderHash>{header_hash}</HeaderHash><EntryTemplatesGroup/></Meta>"
        f"<Root><Group>{uuid}<Name>R</Name><Entry>{uuid}{strings}{more}"
        '<Binary><Key>photo.jpg</Key><Value Ref="0"/></Binary></Entry></Group></Root></KeePassFile>'
    ).encode()


def format_3(*, major=3, cipher="aes256", rounds=500, stream=2, key=None, **xml):
    """Return a database of format 3, written by the rules of KeePass 2 and no code of pykeepass."""
    master, seed, iv, stream_key, start = (os.urandom(size) for size in (32, 32, 16, 32, 32))
    fields = [
        (2, bytes.fromhex(CIPHERS[cipher])), (3, struct.pack("<I", 1)), (4, master), (5, seed),
        (6, struct.pack("<Q", rounds)), (7, iv), (8, stream_key), (9, start),
        (10, struct.pack("<I", stream)), (0, b"\r\n\r\n"),
    ]  # fmt: skip
    header = b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5" + struct.pack("<HH", 1, major)
    header += b"".join(struct.pack("<BH", kind, len(data)) + data for kind, data in fields)
    salsa = Salsa20.new(hashlib.sha256(stream_key).digest(), b"\xe8\x30\x09\x4b\x97\x20\x5d\x2a")
    given = {"header_hash": base64.b64encode(hashlib.sha256(header).digest()).decode(), **xml}
    content = gzip.compress(xml_of(salsa if stream == 2 else None, **given))
    blocks = struct.pack("<I", 0) + hashlib.sha256(content).digest()
    blocks += struct.pack("<I", len(content)) + content + struct.pack("<I32xI", 1, 0)
    settings = {"$UUID": kdf_uuids["aeskdf"], "S": seed, "R": rounds}
    transformed = transform(settings, composite(PASSWORD, key))
    return header + encrypted(
        cipher, hashlib.sha256(master + transformed).digest(), iv, start + blocks
    )


def changed(change):
    """Return a database of format 4 after a change of what is in it, by pykeepass."""
    database = PyKeePass(io.BytesIO(format_4()), password=PASSWORD)
    change(database)
    stream = io.BytesIO()
    database.save(stream)
    return stream.getvalue()
