import pytest

from tests.api.driving import done, refused


async def test_every_shard_is_shown(api):
    items = done(await api.http.get("/operator/shards", headers=api.operator))["items"]
    assert [item["shard_id"] for item in items] == [*range(len(items))]
    assert sum(item["buckets"] for item in items) == 4096
    assert {"owner", "epoch", "node", "bookings", "batch_commands", "queue", "commit_p50_ms", "commit_p99_ms"} <= set(
        items[0]
    )


async def test_a_shard_gets_a_new_owner(api):
    before = done(await api.http.get("/operator/shards", headers=api.operator))["items"][0]
    moved = done(await api.http.post("/operator/shards/0/move", headers=api.operator), 202)
    assert moved["shard_id"] == 0
    assert moved["epoch"] >= before["epoch"]
    done(await api.http.post("/operator/shards/0/move", headers=api.operator, json={}), 202)


@pytest.mark.parametrize("shard_id", ["4096", "-1", "x", "00000000000000000000", "0.0", "%D9%A3"])
async def test_a_shard_that_is_not_there(api, shard_id):
    refused(await api.http.post(f"/operator/shards/{shard_id}/move", headers=api.operator), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "path"), [({"to_node": "nowhere"}, "to_node"), ({"to_node": 5}, "to_node"), ({"to": "x"}, "to")]
)
async def test_a_move_that_makes_no_sense(api, body, path):
    response = await api.http.post("/operator/shards/0/move", headers=api.operator, json=body)
    refused(response, 422, "invalid_request", path)


async def test_the_audit_finds_nothing_wrong(api, guest):
    house = await api.restaurant()
    booking = await api.booked(guest, house)
    done(await api.amend(guest, booking["booking_id"], party_size=4))
    report = done(await api.http.post("/operator/verify", headers=api.operator))
    assert report["ok"] is True, report
    assert report["figures"]
