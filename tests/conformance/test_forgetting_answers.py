"""Answers under idempotency keys are forgotten a portion at a time, whatever waits, and only those whose time is over."""

from datetime import UTC, datetime, timedelta

import pytest

from storage.directory import Directory
from storage.errors import StoreUnavailable
from storage.postgres import Database

OVER = datetime(2026, 11, 1, 12, tzinfo=UTC)
OLD = OVER - timedelta(days=2)
YOUNG = OVER + timedelta(seconds=1)


@pytest.fixture
async def remember(admin):
    async def put(number, made_at):
        """So many answers, a second apart, the first made then."""
        await admin.execute(
            "INSERT INTO idempotency_key (scope, fingerprint, answer, created_at) "
            "SELECT sha256(uuid_send(gen_random_uuid())), 'f', jsonb_build_object('version', 1), $1::timestamptz + n * interval '1s' "
            "FROM generate_series(0, $2 - 1) AS n",
            made_at,
            number,
        )

    return put


async def kept(admin):
    return await admin.fetchval("SELECT count(*) FROM idempotency_key")


async def test_a_backlog_goes_a_portion_at_a_time(admin, open_database, remember):
    directory = Directory(open_database)
    await remember(5, YOUNG)
    await remember(25_000, OLD)
    await remember(5, YOUNG)
    assert [await directory.forget_answers(OVER) for _ in range(4)] == [10_000, 10_000, 5_000, 0]
    assert await kept(admin) == 10


async def test_an_answer_is_kept_to_the_very_end_of_its_time(admin, open_database, remember):
    directory = Directory(open_database)
    await remember(3, OVER - timedelta(seconds=2))
    assert await directory.forget_answers(OVER) == 2
    assert await kept(admin) == 1
    assert await directory.forget_answers(OVER) == 0


async def test_a_backlog_that_no_one_statement_could_drop_goes_all_the_same(admin, database, remember, monkeypatch):
    """Each row takes its time to go, and a statement may not take as long as all of them."""
    monkeypatch.setattr("storage.directory._FORGOTTEN_AT_ONCE", 10)
    await remember(200, OLD)
    await admin.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.005); RETURN old; END $$;"
        "CREATE TRIGGER slow BEFORE DELETE ON idempotency_key FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    hurried = Database(database, "test", 1, settings={"statement_timeout": "500ms"})
    try:
        with pytest.raises(StoreUnavailable):
            await hurried.value("forget_answers", OVER, 1000)
        assert await kept(admin) == 200
        while await Directory(hurried).forget_answers(OVER):
            pass
    finally:
        await hurried.close()
    assert await kept(admin) == 0
