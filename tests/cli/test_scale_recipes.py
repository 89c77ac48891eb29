"""The recipes of docs/scale.md: what they run is what the command line takes."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs/scale.md").read_text("utf-8")
BLOCKS = re.findall(r"(?:^(?:    .*)?\n)+", PAGE, re.MULTILINE)
needs_shell = pytest.mark.skipif(os.name == "nt", reason="the recipes are for a POSIX shell")


def block(word: str) -> str:
    """The block that holds a word, as it would be in a file."""
    (found,) = (text for text in BLOCKS if word in text)
    return re.sub("^    ", "", found, flags=re.MULTILINE).strip("\n") + "\n"


@pytest.fixture
def heard(tmp_path, monkeypatch):
    """Run a command in a folder of three exams, and give what it calls the program with."""
    (tmp_path / "bin").mkdir()
    for name in ("E1", "E2", "E3"):
        (tmp_path / "exams" / name).mkdir(parents=True)
    program = tmp_path / "bin" / "napari-breastseg"
    program.write_text(
        f'#!/bin/sh\necho "$@ threads $OMP_NUM_THREADS" >> {tmp_path}/heard\nexit 1\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")

    def call(*words: str, **variables: str) -> tuple[int, list[str]]:
        done = subprocess.run(words, cwd=tmp_path, env=os.environ | variables, check=False)
        return done.returncode, (tmp_path / "heard").read_text().splitlines()

    return call


@needs_shell
def test_a_task_of_slurm_does_its_part_with_its_cores(heard, tmp_path):
    (tmp_path / "job.sh").write_text(block("#SBATCH"))
    variables = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "100"}
    code, lines = heard("bash", "job.sh", **variables, SLURM_CPUS_PER_TASK="4")
    assert code == 1  # as the program's
    assert lines == [
        "predict exams/E1 exams/E2 exams/E3 --output masks --resume --part 3/100 "
        "--table tables/3.csv threads 4"
    ]


@needs_shell
def test_the_shell_does_every_part_once_and_goes_on_past_failed_cases(heard):
    code, lines = heard("sh", "-c", block("xargs"))
    assert code == 0
    assert sorted(re.findall(r"--part (\S+)", "".join(lines))) == [f"{n}/8" for n in range(1, 9)]
    assert all(line.endswith("threads 1") for line in lines)


@needs_shell
def test_a_pod_of_kubernetes_does_the_part_after_its_index(heard):
    job = yaml.safe_load(block("apiVersion"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert job["spec"]["completions"] == 100
    code, (line,) = heard(*container["command"], JOB_COMPLETION_INDEX="99")
    assert code == 0
    assert "--part 100/100 --table /data/tables/99.csv" in line


def test_snakemake_asks_for_as_many_parts_as_there_are():
    text = block("rule predict")
    assert "range(1, 101)" in text
    assert "--part {wildcards.part}/100" in text


def test_every_option_on_the_page_is_one_of_its_command(run):
    text = re.sub(r'\\\n|"\n\s*"', " ", PAGE)
    calls = re.findall(r"napari-breastseg ((?:dataset )?[a-z]+) ([^`|\n]*)", text)
    assert {verb for verb, _ in calls} == {"predict", "report", "dataset draft", "evaluate"}
    for verb in {verb for verb, _ in calls}:
        _, said, _ = run(*verb.split(), "--help")
        options = {o for v, rest in calls if v == verb for o in re.findall(r"--[a-z-]+", rest)}
        assert options <= set(re.findall(r"--[a-z-]+", said)), verb
