"""Public names of the library, read by type checkers, by editors and at run time."""

from . import plot as plot
from .backbones.create import (
    create_backbone as create_backbone,
)
from .backbones.embedding import (
    embed_batch as embed_batch,
)
from .backbones.embedding import (
    embedding_columns as embedding_columns,
)
from .backbones.embedding import (
    embedding_dimension as embedding_dimension,
)
from .backbones.heads import (
    features_and_logits as features_and_logits,
)
from .backbones.preprocessing import (
    Preprocessing as Preprocessing,
)
from .calibration.calibrators import (
    Calibration as Calibration,
)
from .calibration.calibrators import (
    fit_calibration as fit_calibration,
)
from .calibration.prior_shift import (
    saerens_priors as saerens_priors,
)
from .calibration.prior_shift import (
    shift_priors as shift_priors,
)
from .calibration.thresholds import (
    apply_thresholds as apply_thresholds,
)
from .calibration.thresholds import (
    best_thresholds as best_thresholds,
)
from .calibration.thresholds import (
    threshold_intervals as threshold_intervals,
)
from .catalogue.table import (
    read_catalogue as read_catalogue,
)
from .clusters.hashing import (
    field_hashes as field_hashes,
)
from .clusters.hashing import (
    hash_fields as hash_fields,
)
from .clusters.leaks import (
    leaks as leaks,
)
from .clusters.links import (
    clusters_from_keys as clusters_from_keys,
)
from .clusters.links import (
    label_disagreements as label_disagreements,
)
from .clusters.links import (
    weakest_links as weakest_links,
)
from .clusters.search import (
    duplicate_clusters as duplicate_clusters,
)
from .clusters.search import (
    near_duplicates as near_duplicates,
)
from .cnn.finetuning import (
    finetune_folds as finetune_folds,
)
from .cnn.neighbours import (
    cnn_neighbour_scores as cnn_neighbour_scores,
)
from .cnn.out_of_fold import (
    predict_store as predict_store,
)
from .cnn.settings import (
    CnnSettings as CnnSettings,
)
from .download.fields import (
    DownloadReport as DownloadReport,
)
from .download.fields import (
    download_fields as download_fields,
)
from .errors import (
    InputError as InputError,
)
from .extraction.embeddings import (
    extract_embeddings as extract_embeddings,
)
from .extraction.engine import (
    Extraction as Extraction,
)
from .extraction.handcrafted import (
    extract_features as extract_features,
)
from .features.measuring import (
    field_features as field_features,
)
from .features.registry import (
    describe_columns as describe_columns,
)
from .features.registry import (
    feature_columns as feature_columns,
)
from .features.segmentation import (
    CellMaps as CellMaps,
)
from .features.segmentation import (
    segment_cells as segment_cells,
)
from .fields.packed.reading import (
    PackedFields as PackedFields,
)
from .fields.packed.writing import (
    pack_fields as pack_fields,
)
from .fields.reading import (
    read_field as read_field,
)
from .fields.reading import (
    read_stain as read_stain,
)
from .fields.stains import (
    STAINS as STAINS,
)
from .fields.statistics import (
    read_stain_statistics as read_stain_statistics,
)
from .fields.statistics import (
    stain_statistics as stain_statistics,
)
from .folds.plan import (
    FoldPlan as FoldPlan,
)
from .folds.plan import (
    read_fold_plan as read_fold_plan,
)
from .folds.report import (
    FoldReport as FoldReport,
)
from .folds.report import (
    fold_report as fold_report,
)
from .folds.splitter import (
    MultilabelStratifiedGroupKFold as MultilabelStratifiedGroupKFold,
)
from .folds.splitter import (
    MultilabelStratifiedGroupShuffleSplit as MultilabelStratifiedGroupShuffleSplit,
)
from .folds.splitter import (
    RareLabelWarning as RareLabelWarning,
)
from .folds.splitter import (
    RepeatedMultilabelStratifiedGroupKFold as RepeatedMultilabelStratifiedGroupKFold,
)
from .labels.submission import (
    write_submission as write_submission,
)
from .labels.vocabulary import (
    HPA_2018 as HPA_2018,
)
from .labels.vocabulary import (
    Vocabulary as Vocabulary,
)
from .metrics.calibration_error import (
    expected_calibration_error as expected_calibration_error,
)
from .metrics.scores import (
    brier_score as brier_score,
)
from .metrics.scores import (
    macro_average_precision as macro_average_precision,
)
from .metrics.scores import (
    macro_f1 as macro_f1,
)
from .metrics.scores import (
    multilabel_log_loss as multilabel_log_loss,
)
from .parallel.shards import (
    Shard as Shard,
)
from .pictures.compartment_figure import (
    compartment_figure as compartment_figure,
)
from .pictures.sheets import (
    picture_sheet as picture_sheet,
)
from .pictures.thumbnails import (
    Thumbnails as Thumbnails,
)
from .pictures.tiles import (
    field_tile as field_tile,
)
from .report.stack_report import (
    write_report as write_report,
)
from .review.issues import (
    label_issues as label_issues,
)
from .similarity.adversarial import (
    AdversarialCheck as AdversarialCheck,
)
from .similarity.adversarial import (
    adversarial_check as adversarial_check,
)
from .similarity.domains import (
    domain_agreement as domain_agreement,
)
from .similarity.domains import (
    domain_clusters as domain_clusters,
)
from .similarity.domains import (
    domain_folds as domain_folds,
)
from .similarity.neighbours import (
    NeighbourScores as NeighbourScores,
)
from .similarity.neighbours import (
    nearest_fields as nearest_fields,
)
from .similarity.neighbours import (
    neighbour_scores as neighbour_scores,
)
from .similarity.neighbours import (
    unit_vectors as unit_vectors,
)
from .stack.classifier import (
    StackClassifier as StackClassifier,
)
from .stack.explaining import (
    column_importance as column_importance,
)
from .stack.explaining import (
    field_reasons as field_reasons,
)
from .stack.loading import (
    load_stack as load_stack,
)
from .store.exporting import (
    export_store as export_store,
)
from .store.reading import (
    open_store as open_store,
)
from .store.verifying import (
    verify_store as verify_store,
)
from .synthetic.dataset import (
    synthetic_dataset as synthetic_dataset,
)
from .synthetic.fields import (
    draw_field as draw_field,
)
from .workspace import (
    Workspace as Workspace,
)

__version__: str
