"""H.264 headers: what an AVCDecoderConfigurationRecord says about the picture.

ISO/IEC 14496-15, 5.3.3.1 for the record; ITU-T H.264, 7.3.2.1.1 for the sequence parameter set.
Only as much as the desk and the ladder need before the first frame: profile, level, size.
"""

from dataclasses import dataclass

# Profiles whose SPS carries chroma and scaling fields, 7.3.2.1.1.
_HIGH = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_NO_SIZE = (0, 0)


@dataclass(frozen=True, slots=True)
class AvcConfig:
    """Summary of a decoder configuration."""

    profile: int
    """profile_idc: 66 baseline, 77 main, 100 high."""
    constraints: int
    """The constraint flags byte."""
    level: int
    """Ten times the level: 31 is 3.1."""
    nal_length_size: int
    """Bytes of the length before each NAL unit: 1, 2 or 4."""
    width: int
    """Cropped luma samples; 0 if the SPS couldn't be read."""
    height: int

    @property
    def codec_string(self) -> str:
        """RFC 6381, as HLS and MSE want it."""
        return f"avc1.{self.profile:02x}{self.constraints:02x}{self.level:02x}"


def parse_config(record: bytes) -> AvcConfig | None:
    """Read the record; None if it is none (an Annex B body, say)."""
    if len(record) < 7 or record[0] != 1:
        return None
    size = _NO_SIZE
    sps_count = record[5] & 0x1F
    if sps_count:
        length = int.from_bytes(record[6:8], "big")
        sps = record[8 : 8 + length]
        if len(sps) == length and length > 4:
            size = _picture_size(sps)
    return AvcConfig(record[1], record[2], record[3], (record[4] & 3) + 1, *size)


class _Bits:
    """Bits of an RBSP, most significant first, with Exp-Golomb codes (9.1)."""

    def __init__(self, data: bytes) -> None:
        # 7.4.1.1: a 3 after two zeroes is not part of the data.
        rbsp = data.replace(b"\x00\x00\x03", b"\x00\x00")
        self._value = int.from_bytes(rbsp, "big")
        self._left = len(rbsp) * 8

    def u(self, count: int) -> int:
        if count > self._left:
            raise ValueError("SPS is cut short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise ValueError("Exp-Golomb code of more than 32 zeroes")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _picture_size(sps: bytes) -> tuple[int, int]:
    try:
        return _read_sps(_Bits(sps[1:256]))  # real ones are under 100 bytes
    except ValueError:
        return _NO_SIZE


def _read_sps(bits: _Bits) -> tuple[int, int]:
    """7.3.2.1.1 up to the cropping rectangle."""
    profile = bits.u(8)
    bits.u(16)  # constraint flags, level_idc
    bits.ue()  # seq_parameter_set_id
    chroma = 1
    if profile in _HIGH:
        chroma = _read_chroma(bits)
    bits.ue()  # log2_max_frame_num_minus4
    order = bits.ue()  # pic_order_cnt_type
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1)
        bits.se()
        bits.se()
        cycle = bits.ue()
        if cycle > 255:
            raise ValueError(f"{cycle} reference frames in a cycle, at most 255")
        for _ in range(cycle):
            bits.se()
    bits.ue()  # max_num_ref_frames
    bits.u(1)
    width = (bits.ue() + 1) * 16
    map_units = bits.ue() + 1
    frame_only = bits.u(1)
    height = (2 - frame_only) * map_units * 16
    if not frame_only:
        bits.u(1)
    bits.u(1)  # direct_8x8_inference_flag
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        # 6.2, table 6-1: cropping counts in chroma samples.
        step_x = 2 if chroma in (1, 2) else 1
        step_y = (2 if chroma == 1 else 1) * (2 - frame_only)
        width -= (left + right) * step_x
        height -= (top + bottom) * step_y
    if not (0 < width <= 16384 and 0 < height <= 16384):
        return _NO_SIZE
    return width, height


def _read_chroma(bits: _Bits) -> int:
    chroma = bits.ue()
    lists = 12 if chroma == 3 else 8
    if chroma == 3 and bits.u(1):
        chroma = 0  # separate planes crop as if there were no chroma
    bits.ue()  # bit_depth_luma_minus8
    bits.ue()  # bit_depth_chroma_minus8
    bits.u(1)
    if bits.u(1):  # seq_scaling_matrix_present_flag
        for i in range(lists):
            if bits.u(1):
                _skip_scaling_list(bits, 16 if i < 6 else 64)
    return chroma


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """7.3.2.1.1.1"""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last
