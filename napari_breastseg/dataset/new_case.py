"""How a case enters a dataset folder: its images, the patient's role, and an imported mask."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..core.errors import InputError
from ..core.version import __version__
from ..core.volume import Exam, LabelMap
from .identifiers import require_case_id, require_pseudonym
from .images import write_images
from .records import CaseRecord, GridRecord, PatientRole, Status, next_role
from .staging import Review, stage_mask
from .store import Store

__all__ = ["IMPORTED", "enter", "require_unused"]

IMPORTED = "imported"
"""Annotator of a mask that an import brought."""


def enter(
    store: Store,
    exam: Exam,
    *,
    case_id: str,
    patient_id: str,
    visit: str | None = None,
    imported_mask: LabelMap | None = None,
    source_sha256: dict[str, str] | None = None,
) -> CaseRecord:
    """Enter a case, accepted at once with `imported_mask`; the caller rebuilds derived files."""
    require_case_id(case_id)
    require_pseudonym(patient_id)
    layout = store.layout
    with store.writing(case_id, "import"):
        require_unused(store, case_id, patient_id)
        channels = store.channels or tuple(exam.phases)
        _require_channels(store, exam, channels, case_id)
        try:
            image_sha256 = write_images(layout, exam, channels, case_id)
            record = CaseRecord(
                case_id=case_id,
                dataset_id=store.given_id,
                patient_id=patient_id,
                role=PatientRole(entry=1, fold=0),  # given below, under the folder's lock
                visit=visit,
                channels=channels,
                times_s={role: float(t) for role, t in exam.times_s.items() if role in channels},
                grid=GridRecord.of(exam.grid),
                image_sha256=image_sha256,
                source_sha256=source_sha256 or {},
                software_version=__version__,
            )
            update: dict[str, Any] = {}
            if imported_mask is not None:
                update["status"] = Status.ACCEPTED
                update["accepted"] = stage_mask(
                    store,
                    record,
                    imported_mask,
                    Review(IMPORTED, imported_mask.reviewed_slices),
                    is_imported=True,
                )
            with store.writing_lists():
                require_unused(store, case_id, patient_id)
                if store.channels not in ((), channels):  # another program's case came first
                    _require_channels(store, exam, store.channels, case_id, written=channels)
                left_out = store.left_out()
                roles = {one.patient_id: one.role for one in left_out if one.role is not None}
                roles |= {one.patient_id: one.role for one in store.summaries()}
                unknown = sum(one.role is None for one in left_out)
                update["role"] = roles.get(patient_id) or next_role(roles.values(), unknown)
                staged = () if imported_mask is None else ("labelsTr",)
                return store.commit(record.model_copy(update=update), staged=staged)
        except BaseException:
            if not layout.record(case_id).exists():
                written = [layout.image(case_id, index) for index in range(len(channels))]
                for path in (*written, layout.pending("labelsTr", case_id)):
                    with suppress(OSError):  # the first error is the one to tell
                        path.unlink(missing_ok=True)
            raise


def require_unused(store: Store, case_id: str, patient_id: str, *, besides: str = "") -> None:
    """Raise InputError where a dataset has a case of this id, or is about to; `besides` one."""
    records = store.summaries()
    if any(one.case_id.lower() == case_id.lower() for one in store.left_out()):
        raise InputError(
            f"Expected a case id that dataset {store.name} does not have yet",
            f"found a record of case {case_id} that cannot be read",
            "Restore that record, or give the exam another case id",
        )
    for record in records:
        names = {record.case_id.lower(), (record.renamed_to or record.case_id).lower()}
        if case_id.lower() in names and record.case_id != besides:
            raise InputError(
                f"Expected a case id that dataset {store.name} does not have yet",
                f"found case {record.case_id}",
                "Work on that case, or give the exam another case id",
            )
        if record.patient_id != patient_id and record.patient_id.lower() == patient_id.lower():
            raise InputError(
                f"Expected one spelling of the patient id of case {case_id}",
                f"found one that differs only in letter case from that of case {record.case_id}",
                "Spell both alike, so that one patient never lands in two folds",
            )


def _require_channels(
    store: Store,
    exam: Exam,
    channels: tuple[str, ...],
    case_id: str,
    written: tuple[str, ...] | None = None,
) -> None:
    if any(role not in exam.phases for role in channels) or written not in (None, channels):
        raise InputError(
            f"Expected the channels of dataset {store.name}, {', '.join(channels)}, for every case",
            f"found {', '.join(exam.phases)} in case {case_id}",
            "Add the exam with those phases, or start another dataset for cases like it",
        )
