"""The edge, the catalogue and compaction together: addresses that outlive their files."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from api.library import CatalogueLibrary
from infra.database import Database
from infra.settings import Settings
from tests.integration.vod.show import Show, air_take, key_of, new_show
from tests.support.edge_rig import FakeLibrary, Rig
from tests.support.media import Footage
from transcode.hls.head import segment_key
from vod.compaction import clean_up, compact
from vod.replay import head_from_catalogue


@pytest.fixture
def show(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> Show:
    made = new_show(settings, database, ffmpeg, tmp_path)
    air_take(made, Footage(seconds=6), media_folder)
    return made


@pytest.mark.parametrize("heard", [True, False])
async def test_segments_of_an_ended_head_answer_after_the_clean_up(
    show: Show, tmp_path: Path, heard: bool
) -> None:
    """``heard``: whether Redis told the edge of the end, before the small files went."""
    rig = Rig(tmp_path / "unused", storage=show.storage)
    rig.state.library = cast(FakeLibrary, CatalogueLibrary(show.database))
    with show.database.transaction() as session:
        head = head_from_catalogue(session, show.broadcast())
    assert {s.run for s in head.renditions[0].segments} != {0}
    rig.redis.publish(head)
    base = f"/hls/{show.token}/v360"
    names = [f"s{s.msn}.m4s" for s in head.renditions[0].segments] + ["init0.mp4"]
    before = {name: (await rig.get(f"{base}/{name}")).body for name in names}
    assert all(before.values())
    run = head.renditions[0].segments[1].run
    assert key_of(show, "v360", 1) == segment_key(show.token, "v360", 1, run)

    show.end()
    if heard:
        with show.database.transaction() as session:
            ended = head_from_catalogue(session, show.broadcast())
        assert ended.state == "ended"
        await rig.get(f"{base}/live.m3u8")
        rig.state.apply(rig.state.streams[show.token], ended, from_redis=False)
        assert (await rig.get(f"{base}/live.m3u8")).text.endswith("#EXT-X-ENDLIST\n")
    compact(show.tools, show.broadcast_id)
    clean_up(show.tools, show.broadcast_id)
    assert show.storage.size(segment_key(show.token, "v360", 1, run)) is None
    for name, data in before.items():
        assert (await rig.get(f"{base}/{name}")).body == data
        some = await rig.get(f"{base}/{name}", headers={"range": "bytes=5-20"})
        assert (some.status, some.body) == (206, data[5:21])
    part = head.renditions[0].segments[-1].parts[1]
    cut = await rig.get(f"{base}/p{head.renditions[0].segments[-1].msn}.1.m4s")
    assert cut.body == before[names[-2]][part.offset : part.offset + part.size]
    await rig.close()
