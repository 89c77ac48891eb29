"""A DICOM exam: found by its headers, roles shown and changed, voxels read on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.progress import Job, Progress
from ...core.volume import Exam, Volume, phase_order
from ..phase_read import PhaseRead
from ..rise import Doubt, change, doubt_of
from .beside import OPENS_ALONE, beside_name, beside_words
from .breasts import by_breast
from .headers import HeaderReader
from .identity import Identity
from .order import times_of
from .phases import Decision
from .pixels import Scales, comparable, reading_stack
from .privacy import case_id_of, patient_pseudonym
from .stacks import Stack, stacks_of
from .studies import DicomError, File, by_visit, folders_of, told_with, with_images

__all__ = ["DicomError", "DicomExam", "PhasesDoubted", "Row", "finding_exams", "reading_dicom"]


class PhasesDoubted(InputError):
    """Roles found in the headers that the pixels contradict.

    Parameters
    ----------
    question : InputError
    exam : DicomExam, optional
        The exam with this question instead of its roles.
    """

    def __init__(self, question: InputError, exam: DicomExam) -> None:
        super().__init__(question.expected, question.found, question.fix)
        self.exam = exam

    def __reduce__(self) -> Any:
        """Without the exam when it comes from another process."""
        return InputError, (self.expected, self.found, self.fix)


@dataclass(frozen=True, eq=False)
class Row:
    """One row of the decision: the role of a series, and why."""

    stack: Stack
    role: str | None
    """"pre", "post1", ...; None if the series is not used."""

    time_s: float | None
    """Seconds from the injection or the first post-contrast phase."""

    why: str
    proposed: str | None = None
    """While the exam is a question: the role most likely right."""

    @property
    def handle(self) -> str:
        """What the user calls the series: its number, "4.2" for its second time point."""
        return self.stack.handle


@dataclass(frozen=True, eq=False)
class DicomExam:
    """One study found in a folder: its stacks, and which of them are phases.

    Only `case_id`, handles, roles, times and reasons may go into a file: frames know their source
    files, which may be named after a patient.
    """

    case_id: str
    stacks: tuple[Stack, ...]
    decision: Decision
    warnings: tuple[str, ...] = ()
    """What the user should know about the folder, in full sentences."""

    left_out: tuple[str, ...] = ()
    """What is not used and might have been a phase, in full sentences; empty after the user has
    chosen the roles."""

    root: Path = field(default=Path(), repr=False)
    """The folder or file in which it was found."""

    folder: Path = field(default=Path(), repr=False)
    """Its own folder: the root, or the one below that holds it where there are several."""

    patient: str = field(default="", repr=False)
    """Patient id, else name, in lower case; "" if the files have neither or differ."""

    names_patient: bool = False
    """Whether the path of `folder` holds an identifying value of headers that are not pseudonyms
    by their own account."""

    @property
    def phases(self) -> dict[str, Stack]:
        """Role to stack, in the order pre, post1, ...

        Each stack's `frames` are the source files and frames of the volume's slices, from z = 0.
        """
        pairs = zip(self.decision.roles, self.stacks, strict=True)
        named = {role: stack for role, stack in pairs if role is not None}
        return {role: named[role] for role in sorted(named, key=phase_order)}

    @property
    def times_s(self) -> dict[str, float]:
        """Seconds of each phase from the injection, or from the first post; see `times_of`."""
        return times_of(self.phases)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The decision, one row per stack: phases first, in order, then series not used."""
        times = self.times_s
        nothing = (None,) * len(self.stacks)
        is_asked = self.decision.question is not None
        proposal = (self.decision.proposal if is_asked else ()) or nothing
        rows = [
            Row(stack, role, None if role is None else times.get(role), why, proposed)
            for stack, role, why, proposed in zip(
                self.stacks, self.decision.roles, self.decision.whys, proposal, strict=True
            )
        ]
        return tuple(
            sorted(rows, key=lambda r: (r.role is None, phase_order(r.role) if r.role else (0, "")))
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Source files, phase by phase; of all stacks if there are no phases."""
        stacks = self.phases.values() or self.stacks
        return tuple(dict.fromkeys(frame.file for stack in stacks for frame in stack.frames))

    @property
    def patient_pseudonym(self) -> str:
        """A pseudonym that all exams of the patient have; empty where the files name none."""
        return patient_pseudonym(self.patient) if self.patient else ""

    def with_roles(self, roles: Mapping[str, str | None]) -> DicomExam:
        """The same exam with the roles that the user chose.

        Parameters
        ----------
        roles : mapping of str to str or None
            Role by handle; other stacks are not used.

        Raises
        ------
        InputError
            If a handle does not exist, no role is given, a role is given twice, or a chosen series
            cannot be read.
        """
        handles = [stack.handle for stack in self.stacks]
        chosen = {handle: role for handle, role in roles.items() if role}
        unknown = [handle for handle in chosen if handle not in handles]
        if unknown or not chosen or len(set(chosen.values())) < len(chosen):
            what = f"found series {', '.join(unknown)}" if unknown else ""
            given = ", ".join(f"{role} = series {handle}" for handle, role in chosen.items())
            raise InputError(
                f"Expected a different role for each series chosen of {self.case_id}, out of "
                f"series {', '.join(handles)}",
                what or f"found {given or 'no role'}",
                "Say which series is which phase: --phases pre=2,post1=4",
            )
        for stack in self.stacks:
            if stack.handle in chosen and stack.problem is not None:
                raise stack.problem
        whys = [
            "chosen" if stack.handle in chosen else (why if role is None else "left out by choice")
            for stack, role, why in zip(
                self.stacks, self.decision.roles, self.decision.whys, strict=True
            )
        ]
        chosen_roles = tuple(chosen.get(handle) for handle in handles)
        decision = Decision(chosen_roles, tuple(whys), is_chosen=True)
        return replace(self, decision=decision, left_out=())

    def with_phases(self, phases: Sequence[str]) -> DicomExam:
        """The same exam with roles as given on the command line.

        Parameters
        ----------
        phases : sequence of str
            "pre=2", "post1=4" with series numbers, or roles alone for the phases found, in order.

        Raises
        ------
        InputError
            As `with_roles`; or if the number of roles differs from that of the phases found, or
            the order of the phases is not clear.
        """
        if any("=" in phase for phase in phases):
            pairs = [phase.partition("=") for phase in phases]
            roles = {handle.strip(): role.strip() for role, _, handle in pairs}
            if len(roles) < len(pairs) or not all(
                handle and role for handle, role in roles.items()
            ):
                raise InputError(
                    "Expected a series number for each phase, such as pre=2,post1=4",
                    f"found {len(pairs)} phases and {len(roles)} series",
                    "Give every phase one series number",
                )
            return self.with_roles(roles)
        if self.decision.question is not None:
            raise self.decision.question
        found = list(self.phases.values())
        if len(found) != len(phases):
            names = ", ".join(f"{role} = series {s.handle}" for role, s in self.phases.items())
            raise InputError(
                f"Expected {len(phases)} phases for case {self.case_id}: {', '.join(phases)}",
                f"found {len(found)}: {names}",
                f"Name {len(phases)} phases, or say which series is which phase: --phases "
                "pre=2,post1=4",
            )
        return self.with_roles({s.handle: role for s, role in zip(found, phases, strict=True)})

    def asked(self, question: InputError, proposal: Sequence[str | None]) -> DicomExam:
        """The same exam with a question instead of its roles."""
        nothing = (None,) * len(self.stacks)
        decision = Decision(nothing, self.decision.whys, question, tuple(proposal))
        return replace(self, decision=decision)

    def doubted(self, doubt: Doubt) -> PhasesDoubted:
        """The question that pixels raise which contradict the roles."""
        phases = self.phases
        names = ["pre", *(f"post{place}" for place in range(1, len(doubt.order)))]
        handles = {phases[old].handle: new for old, new in zip(doubt.order, names, strict=True)}
        now, fits = (
            ",".join(f"{role}={handle}" for handle, role in roles.items())
            for roles in ({stack.handle: role for role, stack in phases.items()}, handles)
        )
        way = f"Say which series is which phase, most likely --phases {fits}"
        if fits != now:
            way += f", or --phases {now} if the order is right"
        question = InputError(
            f"Expected heart, vessels and gland of {self.case_id} to become brighter from pre to "
            "post1 and not before",
            f"found {doubt.text}",
            way,
        )
        proposal = [handles.get(stack.handle) for stack in self.stacks]
        return PhasesDoubted(question, self.asked(question, proposal))

    def named(self, phases: Sequence[str]) -> DicomExam:
        """As `with_phases`; what it would raise becomes the exam's question instead."""
        try:
            return self.with_phases(phases)
        except InputError as error:
            decision = Decision((None,) * len(self.stacks), self.decision.whys, error)
            return replace(self, decision=decision)


def finding_exams(
    root: Path, files: Sequence[Path], *, others: Sequence[Path] = ()
) -> Job[list[DicomExam]]:
    """Find the exams among DICOM files; reads headers, no pixels.

    Parameters
    ----------
    root : Path
        The folder in which they were found, or the file itself.
    files : sequence of Path
        DICOM files, in any order.
    others : sequence of Path
        Files of other kinds that came with them, such as key images as JPEG; they are counted.

    Yields
    ------
    Progress

    Returns
    -------
    list of DicomExam
        One per study with MR images, in the order of their folders. What lies beside them
        (ultrasound, reports, ...) is left out, with a warning. Two for a study whose dynamic
        series holds a stack of slices of each breast.

    Raises
    ------
    DicomError
        If no file can be read, or none holds an image of an exam.
    """
    readable: list[File] = []
    identity = Identity()
    unread = 0
    files = [file for file in files if file.name.upper() != "DICOMDIR"]  # a list of the others
    headers_of = HeaderReader()
    yield Progress("Reading headers", 0, len(files))
    for done, file in enumerate(files, start=1):
        header = headers_of.read(file)
        if header is None:
            unread += 1
        else:
            readable.append((header, file))
            # A file that says so has pseudonyms for names; its dates may still be real.
            is_free = header.is_deidentified
            identity |= header.identity.only_dates if is_free else header.identity
        if done % 16 == 0 or done == len(files):
            yield Progress("Reading headers", done, len(files))
    if not readable:
        raise DicomError(
            "Expected DICOM files with readable headers",
            "found one file, without a readable header"
            if unread == 1
            else f"found {unread} files, none with a readable header",
            "Copy or export them again; they are cut short or damaged",
        )
    visits = by_visit(readable)
    studies = {key: [header for header, _ in members] for key, members in visits.items()}
    places = {key: [file for _, file in members] for key, members in visits.items()}
    of_exams = with_images(studies)
    uids = Counter(studies[key][0].study for key in of_exams)
    has_mr = any(not h.beside and h.frames for study in of_exams for h in studies[study])
    opened = frozenset({""}) if has_mr else OPENS_ALONE
    left = [
        (study, file, header.beside)
        for study, headers in studies.items()
        for header, file in zip(headers, places[study], strict=True)
        if header.beside not in opened
    ]
    left += [("", file, beside_name(file.name)) for file in others]
    beside = told_with(root, left, {study: places[study] for study in of_exams})
    exams = []
    folders = folders_of(root, {study: places[study] for study in of_exams})
    for study, (name, folder) in folders.items():
        stacks = stacks_of(studies[study])
        warnings = [f"left out: {beside_words(beside[study])}"] if beside[study] else []
        warnings += [f"Series {stack.handle}: {note}" for stack in stacks for note in stack.notes]
        if (count := uids[studies[study][0].study]) > 1:
            warnings.append(
                f"one of {count} exams with the same study UID, or none, opened apart: their files "
                "name different patients or dates"
            )
        if unread:
            are = "file is" if unread == 1 else "files are"
            warnings.append(f"{unread} DICOM {are} cut short or damaged and left out")
        secret = study or str(root.resolve())
        if not root.is_dir():  # single files of one study are cases of their own
            secret += "".join(frame.instance for h in studies[study] for frame in h.frames)
        case_id = case_id_of(name, identity, secret)
        images = [h for h in studies[study] if h.frames and h.beside in opened]
        names_patient = not all(header.is_deidentified for header in images) and any(
            identity.is_in(part) for part in folder.resolve().parts
        )
        patients = {header.patient for header in images} - {""}
        for side, of_side, decision in by_breast(stacks):
            told = [*warnings, _say_two(case_id, of_side)] if side else warnings
            left_out = [_say_left_out(of_side[i], decision.whys[i]) for i in decision.left_out]
            own = f"{case_id}_{side}" if side else case_id
            exams.append(
                DicomExam(
                    own,
                    of_side,
                    decision,
                    warnings=tuple(told),
                    left_out=tuple(left_out),
                    root=root,
                    folder=folder,
                    patient=next(iter(patients)) if len(patients) == 1 else "",
                    names_patient=names_patient,
                )
            )
    return exams


def _say_left_out(stack: Stack, why: str) -> str:
    if stack.problem is not None:
        return f"Series {stack.handle} is left out. {stack.problem}"
    return f"Series {stack.handle} is left out: {why}"


def _say_two(case_id: str, stacks: Sequence[Stack]) -> str:
    handles = ", ".join(stack.handle for stack in stacks if stack.side)
    return (
        f"opened as two exams, {case_id}_right and {case_id}_left: series {handles} hold"
        f"{'' if ',' in handles else 's'} a stack of slices of each breast"
    )


def reading_dicom(exam: DicomExam) -> Job[Exam]:
    """Read the phases of an exam.

    Yields
    ------
    Progress
        The first messages are the exam's warnings and what could not be read.

    Returns
    -------
    Exam
        With `times_s` as `DicomExam.times_s`.

    Raises
    ------
    InputError
        If the roles are not clear, or a file is damaged.
    PhasesDoubted
        An `InputError`: if the pixels contradict roles that the user has not named.
    """
    if exam.decision.question is not None:
        raise exam.decision.question
    for warning in (*exam.warnings, *exam.left_out):
        yield Progress("Reading", 0, 0, message=f"{exam.case_id}: {warning}")
    read: dict[str, tuple[Volume, Scales]] = {}
    for role, stack in exam.phases.items():
        read[role] = yield from reading_stack(stack, f"Reading {role}")
        yield PhaseRead("Reading", len(read), len(exam.phases), volume=read[role][0])
    volumes, told = comparable(read)
    if told:
        yield Progress("Reading", 0, 0, message=f"{exam.case_id}: {told}")
    doubt = doubt_of(volumes)
    if doubt is not None and exam.decision.is_chosen:
        yield Progress("Reading", 0, 0, message=f"{exam.case_id}: {doubt.text}")
    elif doubt is not None:
        raise exam.doubted(doubt)
    elif (question := exam.decision.unless_rise) is not None:
        seen = change(volumes["pre"], volumes["post1"])
        if seen is None or not seen.is_strong:
            raise PhasesDoubted(question, exam.asked(question, exam.decision.proposal))
    return Exam(exam.case_id, volumes, exam.times_s)
