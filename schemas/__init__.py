"""Every message, name and setting of Tributary, and the wire codec. Imports msgspec, zstandard and
the standard library only, so that any part of the system can afford it."""
