"""The archives of distributions, read without unpacking them: zip and tar, compressed or not.

Theory of operation. Everything here reads bytes that a stranger sent, so every figure an archive states about itself
is a claim. Nothing is ever extracted to disk, and no claim decides how much is read into memory:

- A zip (wheel, egg, `.zip` sdist) is read by its central directory alone. That is parsed here and not by zipfile, which
  takes it whole at any size, and accepts zips that must be refused: an end record found somewhere near the end of the
  file may belong to a zip stored within the one whose tail is missing. Here the directory must end exactly where the
  end record begins, and that must end with the file, so a prefix of a zip is never a zip.
- A tar is streamed: decompressor, then a reader that only goes forward, then tarfile for the header formats. The
  decompressor counts what it gives out, the reader what it lets headers take, and the loop the members. The compressed
  stream must reach its own end with its own checksum, so a prefix of it is never complete either.

Sources: PEP 427 and the binary distribution format (wheels), PEP 517, 625, 643 (sdists), PEP 721 (which members of a
tar are unsafe), PKWARE's APPNOTE (zip), RFC 1951 and 1952 (deflate, gzip).
"""
