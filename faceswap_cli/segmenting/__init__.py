"""Which pixels of a crop are face: learnt from faces, painted labels and made-up hands."""
