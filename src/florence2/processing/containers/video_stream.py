"""Videos through FFmpeg. Only the decoder process calls this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from PIL import Image

from ...io.extras import optional_import

MAX_PACKETS = 20_000_000
# Formats that hold a video themselves; playlists, which name other files and URLs, are skipped.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,mpegtsraw,m4v,h264,hevc,"
    "ogg,flv,asf,mxf,wtv"
)
_SLACK = 1e-3  # two times that differ by less, in seconds, are the same frame's
_SEEK_FROM = 5.0  # seconds ahead from which jumping is quicker than decoding


class VideoStream:
    """The first video of an open file. Raises ``ValueError`` for a file without one."""

    def __init__(self, stream: IO[bytes], max_pixels: int) -> None:
        self._av = optional_import("av", "PyAV", "'florence2[formats]'")
        self._stream, self._max_pixels = stream, max_pixels
        try:
            self._container = self._av.open(
                stream,
                # A file object is all it gets, and nothing in the file may name another source.
                options={"format_whitelist": _FORMATS, "protocol_whitelist": "none"},
                metadata_errors="replace",
            )
        except (self._av.FFmpegError, ValueError) as error:
            raise ValueError(f"it cannot be read as a video ({error})") from error
        if not self._container.streams.video:
            self._container.close()
            raise ValueError("it cannot be read as a video (there is none in it)")
        self._video = self._container.streams.video[0]
        self._video.thread_type = "AUTO"
        self._times: list[float] = []
        self._first: float | None = None
        self._frames: Iterator[tuple[float, Any]] = iter(())
        self._current: tuple[float, Any] | None = None
        self._ended = True

    def close(self) -> None:
        """Free the file."""
        self._container.close()
        self._stream.close()

    def times(self) -> list[float]:
        """The time of every frame in seconds from the first one, from the packets themselves.

        The length in the header is ignored. Raises ``ValueError`` without a frame.
        """
        if self._times:
            return self._times
        found = self._packet_times()
        if found is None:
            self._rewind()
            found = [seconds for seconds, _ in self._decoded()]
            self._ended = True
        if not found:
            raise ValueError("it cannot be decoded as a video (no frame in it)")
        first = min(found)
        self._first = first
        self._times = sorted(seconds - first for seconds in found)
        return self._times

    def frame(self, seconds: float, shown: float | None = None) -> tuple[float, Image.Image]:
        """The first frame at or after ``seconds``, upright in RGB, with its time.

        With ``shown``, only the frame of this time is returned. Raises ``ValueError`` when
        there is none.
        """
        if self._first is None:
            self.times()
        assert self._first is not None
        target = self._first + (seconds if shown is None else shown)
        self._seek_to(target)
        while self._current is not None and self._current[0] + _SLACK < target:
            self._current = next(self._frames, None)
        if self._current is None:
            self._ended = True
            raise ValueError(f"the video has no frame at {seconds:g} s that can be decoded")
        at, frame = self._current
        if shown is not None and at > target + _SLACK:
            raise ValueError(f"the frame at {seconds:g} s cannot be decoded")
        return at - self._first, self._upright(frame)

    def _seek_to(self, target: float) -> None:
        """Seek so that the current frame is the last one decoded at or before ``target``."""
        at = None if self._ended or self._current is None else self._current[0]
        if at is not None and at <= target + _SLACK and target - at < _SEEK_FROM:
            return
        if self._jump(target):
            return
        self._rewind()
        self._frames = self._decoded()
        self._current, self._ended = next(self._frames, None), False

    def _jump(self, target: float) -> bool:
        """Seek to the last key frame before ``target``; return whether that worked."""
        assert self._first is not None
        if target - self._first < _SEEK_FROM or not self._video.time_base:
            return False
        try:
            offset = int(target / self._video.time_base)
            self._container.seek(offset, stream=self._video, backward=True)
        except (self._av.FFmpegError, OverflowError, ValueError):
            return False
        self._frames = self._decoded()
        self._current = next(self._frames, None)
        self._ended = self._current is None
        return self._current is not None and self._current[0] <= target + _SLACK

    def _rewind(self) -> None:
        try:
            self._container.seek(0, backward=True, any_frame=False)
        except self._av.FFmpegError:
            start = self._video.start_time
            if start is not None:
                self._container.seek(start, stream=self._video, backward=True)

    def _packet_times(self) -> list[float] | None:
        """The times that packets carry, ``None`` where one of them carries none."""
        base = self._video.time_base
        if not base:
            return None
        found: list[float] = []
        try:
            for packet in self._container.demux(self._video):
                if not packet.size or packet.is_discard:
                    continue
                if packet.pts is None:
                    return None
                if len(found) >= MAX_PACKETS:
                    raise ValueError(f"it has more than {MAX_PACKETS:,} frames")
                found.append(float(packet.pts * base))
        except self._av.FFmpegError:
            pass  # the file ends early: keep the frames before
        return found

    def _decoded(self) -> Iterator[tuple[float, Any]]:
        """Frames with their times; packets that cannot be decoded are skipped."""
        last, step = 0.0, 1 / float(self._video.average_rate or 25)
        try:
            for packet in self._container.demux(self._video):
                try:
                    frames = packet.decode()
                except self._av.EOFError:
                    return
                except self._av.FFmpegError:
                    continue
                for frame in frames:
                    last = frame.time if frame.time is not None else last + step
                    yield last, frame
        except self._av.FFmpegError:
            return  # the file ends early: keep the frames before

    def _upright(self, frame: Any) -> Image.Image:
        if frame.width * frame.height > self._max_pixels:
            raise ValueError(f"its frames are {frame.width} x {frame.height} pixels, too many")
        image: Image.Image = frame.to_image()
        turn = getattr(frame, "rotation", 0)
        return image.rotate(turn, expand=True) if turn else image
