from .plan import FoldPlan as FoldPlan
from .plan import audit_folds as audit_folds
from .plan import check_plan as check_plan
from .plan import fold_digest as fold_digest
from .plan import labels_digest as labels_digest
from .plan import make_fold_plan as make_fold_plan
from .plan import read_fold_plan as read_fold_plan
from .plan import read_fold_table as read_fold_table
from .plan import write_fold_plan as write_fold_plan
from .report import FoldReport as FoldReport
from .report import fold_report as fold_report
from .report import labels_missing_from_folds as labels_missing_from_folds
from .splitter import ALGORITHM_VERSION as ALGORITHM_VERSION
from .splitter import MultilabelStratifiedGroupKFold as MultilabelStratifiedGroupKFold
from .splitter import MultilabelStratifiedGroupShuffleSplit as MultilabelStratifiedGroupShuffleSplit
from .splitter import RareLabelWarning as RareLabelWarning
from .splitter import (
    RepeatedMultilabelStratifiedGroupKFold as RepeatedMultilabelStratifiedGroupKFold,
)
