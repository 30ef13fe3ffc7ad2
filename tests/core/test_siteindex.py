from hypothesis import given
from hypothesis import strategies as st

from luisito.core import siteindex
from luisito.core.cgroup import Limits
from luisito.core.siteindex import Row

LIMIT = st.none() | st.integers(0, 2**63 - 1)
NAMES = st.text("abc.-[:]1", min_size=1, max_size=250)
ROWS = st.builds(
    Row,
    NAMES,
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.sampled_from(["port", "socket", "fd"]),
    st.sampled_from(["TERM", "USR2"]),
    st.booleans(),
    st.builds(Limits, LIMIT, LIMIT, LIMIT),
    stops=st.booleans(),
    limits_by=st.tuples(*[st.integers(0, 3)] * 3),
)


def reader(data):
    return lambda offset, size: data[offset : offset + size]


@given(st.lists(st.tuples(ROWS, st.binary(max_size=9)), unique_by=lambda entry: entry[0].site),
       st.binary(max_size=9), NAMES)  # fmt: skip
def test_what_is_written_is_found(entries, state, other):
    read = reader(siteindex.write(entries, state))
    assert siteindex.good(read)
    for row, record in entries:
        found = siteindex.find(read, row.site)
        assert found == row._replace(offset=found.offset, size=len(record))
        assert read(found.offset, found.size) == record
    assert siteindex.state(read) == state
    assert (siteindex.find(read, other) is None) == all(row.site != other for row, _ in entries)


def test_few_rows_are_read():
    row = Row("", "00" * 32, "fd", "TERM", False, Limits())
    data = siteindex.write([(row._replace(site=f"s{n}"), b"") for n in range(5000)], b"")
    reads = []

    def read(offset, size):
        reads.append(size)
        return data[offset : offset + size]

    assert siteindex.find(read, "s4711").site == "s4711"
    assert siteindex.find(read, "none") is None
    assert len(reads) < 30


def test_a_name_that_is_none():
    row = Row("a", "00" * 32, "fd", "TERM", False, Limits())
    read = reader(siteindex.write([(row, b"")], b""))
    for name in ("", "a" * 1000, "\ud800", "\0", "a\0"):
        assert siteindex.find(read, name) is None


def test_a_worker_has_a_row_of_its_own():
    """Of the longest site that a file can be named for, too."""
    site, name = "a" * 250, "w" * 32
    rows = [Row(key, "00" * 32, "none", "INT", False, Limits())
            for key in (site, siteindex.worker_key(site, name))]  # fmt: skip
    read = reader(siteindex.write([(row, row.site.encode()) for row in rows], b""))
    for row in rows:
        found = siteindex.find(read, row.site)
        assert (found.site, found.way) == (row.site, "none")
        assert read(found.offset, found.size) == row.site.encode()
    assert siteindex.find(read, siteindex.worker_key(site, "v")) is None


def test_other_files_are_none():
    assert not siteindex.good(reader(b""))
    assert not siteindex.good(reader(b"luisite3"))
    assert not siteindex.good(reader(b"x" * 1000))


def test_an_endpoint_has_a_row_where_it_has_room():
    longest = siteindex.endpoint_key("unix:/" + "a" * 275)
    assert siteindex.has_room(longest)
    assert not siteindex.has_room(longest + "a")
    row = Row(longest, "00" * 32, siteindex.NO_WAY, "", False, Limits())
    read = reader(siteindex.write([(row, b"")], b""))
    assert siteindex.find(read, longest).site == longest
    assert siteindex.find(read, siteindex.endpoint_key("unix:/a")) is None


def test_who_says_a_limit():
    limits, by = Limits(1024, 50_000, 7), (siteindex.BY_FILE, siteindex.BY_BASE)
    row = Row("a.example/api#2", "00" * 32, "fd", "TERM", False, limits)
    assert row.said("/sites") == limits.settings()
    row = row._replace(limits_by=(*by, siteindex.BY_TENANTS))
    assert row.said("/sites") == {
        "memory": "memory_max = 1024 in /sites/a.example.toml",
        "cpu": "cpu_max = 0.5 in a file that /sites/a.example.toml extends",
        "pids": "pids_max = 7 in TENANTS",
    }
    row = row._replace(site="queue@b.example", limits=Limits(pids=8), limits_by=(0, 0, 1))
    assert row.said("/sites") == {"pids": "pids_max = 8 in /sites/b.example.toml"}
