"""Keys for signatures of manifests, made as docs/format.md has it."""
import subprocess


def make_key(folder, name):
    """The paths of a private and a public key."""
    folder.mkdir(exist_ok=True)
    private, public = folder / f"{name}-private.key", folder / f"{name}.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return str(private), str(public)


def sign(private, path):
    """The signature beside a file, by OpenSSL alone."""
    subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", private, "-rawin", "-in", path, "-out", f"{path}.sig"], check=True)
