"""Certificate for this machine's loopback addresses, and the authority that signed it."""

import ssl
from pathlib import Path

import trustme


def make(ca_file: Path) -> ssl.SSLContext:
    """Make a certificate and a TLS context for a server that shows it.

    The authority's own certificate is written to a file: a client that reads its trusted authorities
    there, as OpenSSL does with `SSL_CERT_FILE` in the environment, connects.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca_file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
