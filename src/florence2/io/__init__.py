"""Files, directories and URLs: reading and writing them safely."""
