"""Which files are of one subject, and which subjects are held out."""

import pytest

from training.finetuning.subjects import by_pattern, by_table, held_out

NAMES = ["p01_left", "p01_right", "p02_left"]


def test_a_pattern_finds_its_group_or_all_of_itself():
    expected = {"p01_left": "01", "p01_right": "01", "p02_left": "02"}
    assert by_pattern(NAMES, r"^p(\d+)_") == expected
    assert by_pattern(NAMES, r"\d+") == expected


def test_a_pattern_that_does_not_do_is_named():
    with pytest.raises(ValueError, match=r"--subject '\(': not a regular expression"):
        by_pattern(NAMES, "(")
    with pytest.raises(ValueError, match="not found in 1 file names, the first is p02_left"):
        by_pattern(NAMES, "p01")


def test_a_table_names_files_with_or_without_folders_and_endings(tmp_path):
    table = tmp_path / "subjects.csv"
    table.write_text("file,subject\na,1\nscans/b.nii.gz,1\nMR/x/c.png,2\n")
    assert by_table(["a", "b", "MR/x/c"], table) == {"a": "1", "b": "1", "MR/x/c": "2"}
    with pytest.raises(ValueError, match="1 of the files are not in it, the first is d"):
        by_table(["a", "d"], table)
    table.write_text("image,subject\na,1\n")
    with pytest.raises(ValueError, match=r"has no column 'file'; 'file' and 'subject' are needed"):
        by_table(["a"], table)
    with pytest.raises(ValueError, match=r"none\.csv: cannot be read \(No such file"):
        by_table(["a"], tmp_path / "none.csv")


def test_a_fifth_of_the_subjects_is_held_out_five_at_least():
    def count(subjects: int) -> int:
        return len(held_out({f"{file}_{subject}": str(subject) for file in (1, 2) for subject in range(subjects)}))

    assert [count(subjects) for subjects in (10, 25, 60)] == [5, 5, 12]
    subjects = {str(number): str(number) for number in range(60)}
    assert held_out(subjects) == held_out(dict(reversed(subjects.items())))
    assert held_out(subjects) != held_out(subjects, seed=1)


def test_with_few_subjects_it_says_what_makes_do():
    with pytest.raises(ValueError, match="6 subjects: 10 are needed to hold 5 out; --held-out 3 makes do with 3"):
        held_out({str(number): str(number) for number in range(6)})
    assert len(held_out({"a": "1", "b": "2", "c": "2"}, count=1)) == 1
    with pytest.raises(ValueError, match="--held-out 2: of 2 subjects, 1 to 1 can be held out"):
        held_out({"a": "1", "b": "2"}, count=2)
    with pytest.raises(ValueError, match=r"1 subjects: .* images of another subject are needed"):
        held_out({"a": "1", "b": "1"})
