"""File types by suffix, in lower case: what is read as an image, and what only looks like one."""

from __future__ import annotations


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


# Formats with one image in a file.
SINGLE_IMAGE_SUFFIXES = _suffixes("bmp dib j2k jfif jp2 jpe jpeg jpg mpo pbm pgm pnm ppm")
# A file of these may hold an animation.
ANIMATION_SUFFIXES = _suffixes("apng avif gif webp")
# The names of the formats that ``processing.image`` opens, taken for images in a directory.
IMAGE_SUFFIXES = SINGLE_IMAGE_SUFFIXES | _suffixes("avif gif png tif tiff webp")
PDF_SUFFIXES = _suffixes("pdf")
VIDEO_SUFFIXES = _suffixes("avi m4v mkv mov mp4 mpeg mpg webm")
ARCHIVE_SUFFIXES = _suffixes("7z gz parquet rar tar tgz zip zst")
# Images and videos of formats that are not read: they are counted and reported.
UNSUPPORTED_SUFFIXES = _suffixes(
    "3gp ai apng arw cr2 cr3 dcm dds djvu dng emf eps exr flv hdr heic heif hif icns ico jxl jxr "
    "m2ts mts nef nii ogv orf pcx pef ps psd raf raw rw2 srw svg tga ts wdp wmf wmv xcf"
)
