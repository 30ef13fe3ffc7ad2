"""What check-settings says of HIBERNATE, by what kernels offer."""

import pytest

from luisito.checks.hibernation import KSM_RUN, Offer, hibernation, offer
from luisito.settings import from_mapping

ALL = Offer((6, 18), "", "", swap=True, ksm="1", merges=True, root=True)


def said(means="reclaim", **found):
    settings = from_mapping({"CMD_TPL": "a %FD", "HIBERNATE_AFTER": 60, "HIBERNATE": means})
    words, problems = hibernation(settings, ALL._replace(**found))
    return words, [str(problem) for problem in problems]


def test_it_is_off_by_default():
    nothing = ALL._replace(no_cgroup="none; make one", swap=False)
    assert hibernation(from_mapping({"CMD_TPL": "a %FD"}), nothing) == ("", [])


@pytest.mark.parametrize(
    ("means", "words"),
    [
        ("freeze", "; their memory is left alone"),
        ("merge", "; what they have alike is merged"),
        ("reclaim", "; the memory of each is given back by memory.reclaim of its cgroup"),
    ],
)
def test_where_all_is_there(means, words):
    assert said(means) == (f"idle servers are frozen{words}", [])


LACKS = "no memory; boot with it"
OFF, NOT_MERGED = "HIBERNATE_AFTER: no server can be frozen: ", "HIBERNATE: nothing is merged: "
NOT_BACK = "HIBERNATE: no memory is given back: no memory"
OLD = "this kernel is too old; run Linux"


@pytest.mark.parametrize(
    ("means", "found", "problem"),
    [
        ("freeze", {"no_cgroup": "no tree; mount one"}, f"{OFF}no tree; mount one"),
        ("freeze", {"release": (5, 1)}, f"{OFF}{OLD} 5.2 or later"),
        (
            "merge",
            {"ksm": ""},
            f'{NOT_MERGED}this kernel has no KSM; write HIBERNATE = "reclaim"',
        ),
        ("merge", {"merges": False}, f"{NOT_MERGED}{OLD} 6.7 or later"),
        ("merge", {"release": (6, 6)}, f"{NOT_MERGED}{OLD} 6.7 or later"),
        (
            "merge",
            {"ksm": "0"},
            f"{NOT_MERGED}{KSM_RUN} is 0, which Luisito leaves as it is; run echo 1 > {KSM_RUN}",
        ),
        (
            "reclaim",
            {"no_memory": LACKS, "root": False},
            f"{NOT_BACK}, and to do it page by page takes root; boot with it",
        ),
        ("reclaim", {"no_memory": LACKS, "release": (5, 9)}, f"{NOT_BACK}: {OLD} 5.10 or later"),
    ],
)
def test_what_is_missing_is_told_with_the_mend(means, found, problem):
    assert said(means, **found)[1] == [problem]


def test_without_swap_only_pages_of_files_are_given_back():
    (problem,) = said(swap=False)[1]
    assert problem.startswith("HIBERNATE: there is no swap, so that nothing but pages of files is")


def test_without_the_controller_root_gives_back_page_by_page():
    words, problems = said(no_memory=LACKS)
    assert words.endswith("given back page by page (process_madvise)")
    assert problems == []


@pytest.mark.parametrize("root", [True, False])
def test_this_machine_is_asked(tmp_path, root):
    found = offer(str(tmp_path), root=root)
    assert found.release > (3, 0)
    assert found.root is root
    assert found.ksm in ("", "0", "1", "2")
