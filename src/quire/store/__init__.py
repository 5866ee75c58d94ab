"""Where records and blobs live. The contracts are in `contracts`; each other module is one store that fulfils them."""
