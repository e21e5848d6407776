"""Zip archives from strangers: their members as bytes, never a file on the disk, never more than was agreed."""

from __future__ import annotations

import io
import zipfile
import zlib

from geofence.errors import ZoneError
from geofence.importing.found import malformed

# The zones of a province in Shapefile have some 20 MB; a member's declared size is not believed.
MOST_BYTES = 96 * 1024 * 1024
# Photos and layouts come along; more members than this is no hand-over of zones.
MOST_MEMBERS = 1_000
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_ENCRYPTED = 0x1
_UTF8 = 0x800


def members(data: bytes, suffixes: tuple[str, ...]) -> dict[str, bytes]:
    """Name to bytes of the members that end in one of ``suffixes`` (lower case), in the archive's order.

    What a Mac leaves beside them is skipped. Raises ZoneError: archive, file_malformed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > MOST_MEMBERS:
                raise _refused(f"it has more than {MOST_MEMBERS} members", f"压缩包内文件超过 {MOST_MEMBERS} 个")
            return _read(archive, infos, suffixes)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        if isinstance(error, ZoneError):
            raise
        raise malformed(f"the zip archive does not read: {error}", "压缩包已损坏,无法读取") from None


def _read(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], suffixes: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    room = MOST_BYTES
    for info in infos:
        name = _name(info)
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or ":" in parts[0]:
            raise _refused(f"the member {name!r} points out of it", f"压缩包内路径 {name!r} 指向包外")
        if info.is_dir() or not name.lower().endswith(suffixes) or "__MACOSX" in parts or parts[-1].startswith("."):
            continue
        if info.flag_bits & _ENCRYPTED:
            raise _refused("it has a password; hand it in without one", "压缩包有密码,请去掉密码后再导入")
        if info.compress_type not in _METHODS:
            raise _refused("it is not packed by deflate; pack it as an ordinary zip", "请用普通 zip 格式重新压缩")
        if name in found:
            raise _refused(f"it has {name!r} twice", f"压缩包内 {name!r} 重复")
        with archive.open(info) as member:
            content = member.read(room + 1)
        if len(content) > room:
            raise _refused(
                f"it has more than {MOST_BYTES >> 20} MB once unpacked", f"压缩包解压后超过 {MOST_BYTES >> 20} MB"
            )
        room -= len(content)
        found[name] = content
    return found


def _name(info: zipfile.ZipInfo) -> str:
    """Windows writes Chinese names in GBK and doesn't say so; zipfile takes them for code page 437."""
    name = info.filename
    if not info.flag_bits & _UTF8:
        raw = name.encode("cp437", "replace")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return name.replace("\\", "/")


def _refused(message_en: str, message_zh: str) -> ZoneError:
    return ZoneError("archive", f"the archive is refused: {message_en}", f"不接受该压缩包:{message_zh}")
