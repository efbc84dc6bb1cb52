"""Modules under their names of release 0.1, for one release: they warn and hand over.

``import florence2.shards`` gives a module whose attributes are those of
``florence2.datasets.shards``. A module that is not in the table moved with its package.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_PACKAGE = __package__ or "florence2"
_MOVED = """
bench.contenders bench.candidates
bench.fresh bench.cold_start
bench.limits bench.roofline
bench.ours bench.florence2_stages
bench.peer bench.baseline
bench.plugin_limits bench.openvino_roofline
bench.report bench.bench_table
bench.rounds bench.interleaved
bench.together bench.batching
bench.work bench.flops
calibration inference.calibration
cascades inference.cascades
cli.answering workflows.labeling.predictions
cli.folder workflows.labeling.output_directory
cli.journal workflows.labeling.progress_log
cli.lines workflows.labeling.prediction_line
cli.names workflows.labeling.output_names
cli.pictures workflows.labeling.image_reader
cli.questions workflows.labeling.label_requests
cli.source_files workflows.labeling.source_files
cli.sources workflows.labeling.sources
cli.stream workflows.labeling.stdout
constraint processing.constraint
containers processing.containers
data_engine.judge data_engine.apply_filters
data_engine.parts data_engine.part_files
data_engine.pipeline data_engine.executor
data_engine.refine data_engine.self_training
data_engine.report data_engine.round_report
data_engine.rounds data_engine.round_end
data_engine.sources data_engine.image_sources
data_engine.specialists data_engine.annotators
data_engine.specialists.coco_names results.coco_names
data_engine.specialists.choosing data_engine.annotators.annotator_registry
data_engine.specialists.degraded data_engine.annotators.noisy
data_engine.specialists.detection data_engine.annotators.ssd_mobilenet
data_engine.specialists.hub data_engine.annotators.hub_models
data_engine.specialists.proposals data_engine.annotators.region_proposals
data_engine.specialists.protocol data_engine.annotators.annotator
data_engine.specialists.reading data_engine.annotators.ocr_engines
data_engine.texts data_engine.caption_parsing
data_engine.view data_engine.annotation_page
data_engine.work data_engine.part_workers
draw results.draw
durable io.atomic
evaluate evaluation
evaluate.answer_parts evaluation.answer_values
evaluate.answers evaluation.result_json
evaluate.benchmarks evaluation.benchmarks
evaluate.benchmarks.coco_categories results.coco_names
evaluate.benchmarks.detection_failures evaluation.benchmarks.detection_errors
evaluate.benchmarks.files evaluation.benchmarks.benchmark_files
evaluate.benchmarks.grouped_means evaluation.benchmarks.group_table
evaluate.benchmarks.plain_pickle evaluation.benchmarks.safe_pickle
evaluate.benchmarks.scene_figures evaluation.benchmarks.synthetic_metrics
evaluate.benchmarks.scenes evaluation.benchmarks.synthetic_benchmark
evaluate.choosing evaluation.subset
evaluate.environment evaluation.versions
evaluate.everything evaluation.paper_table
evaluate.figures evaluation.metric
evaluate.metrics evaluation.metrics
evaluate.metrics.captions evaluation.metrics.caption_scores
evaluate.metrics.checks evaluation.metrics.input_checks
evaluate.metrics.coco evaluation.metrics.coco_ap
evaluate.metrics.polygons evaluation.metrics.polygon_overlap
evaluate.metrics.voc evaluation.metrics.voc_ap
evaluate.outcomes evaluation.prediction_log
evaluate.records evaluation.record_evaluation
evaluate.run evaluation.runner
evaluate.settings evaluation.eval_settings
evaluate.truths evaluation.ground_truth
folders io.cache_dirs
formats datasets
formats.answer_rows datasets.importers.prediction_rows
formats.answers datasets.importers.prediction_lines
formats.chosen_records datasets.importers.record_selection
formats.class_list datasets.importers.class_list
formats.coco datasets.importers.coco
formats.coco_files datasets.importers.coco_files
formats.csv_questions datasets.importers.csv
formats.cvat_xml datasets.importers.cvat
formats.fingerprint datasets.importers.fingerprint
formats.grouped datasets.importers.grouped_rows
formats.huggingface datasets.importers.huggingface
formats.huggingface_files datasets.importers.huggingface_files
formats.image_finder datasets.importers.image_finder
formats.instances datasets.importers.instances
formats.json_files datasets.importers.json_files
formats.jsonl datasets.importers.jsonl
formats.label_frame datasets.importers.label_frame
formats.label_studio_tasks datasets.importers.label_studio
formats.label_text datasets.importers.label_text
formats.masks datasets.importers.masks
formats.pictures datasets.importers.image_files
formats.plain_yaml datasets.importers.plain_yaml
formats.problems datasets.importers.problems
formats.prompts datasets.importers.prompts
formats.regions datasets.importers.region_checks
formats.sidecars datasets.importers.sidecars
formats.splits datasets.importers.splits
formats.voc datasets.importers.voc
formats.writers datasets.exporters
formats.writers.choosing datasets.exporters.exporter_registry
formats.writers.contents datasets.exporters.record_regions
formats.writers.ontology datasets.exporters.class_map
formats.writers.output_names datasets.exporters.export_names
formats.writers.pages datasets.exporters.ocr_documents
formats.xml_nodes datasets.importers.xml_nodes
formats.yolo datasets.importers.yolo
formats.yolo_labels datasets.importers.yolo_labels
formats.yolo_yaml datasets.importers.yolo_yaml
generate generation
generate.beam generation.beam_hypotheses
generate.beams generation.beam_search
generate.lane generation.decode_batch
generate.options generation.generate_options
generate.rules generation.logits_processors
generate.single generation.sampling
generate.slot_lane generation.static_batch
geometry results.geometry
grammar processing.grammar
hardware io.environment
image processing.image
interop results.interop
libraries io.extras
locations results.locations
messages io.messages
model.adapters model.checkpoint.adapters
model.cache model.kv_cache
model.directories model.checkpoint.directories
model.files model.checkpoint.tensor_files
model.hub model.checkpoint.hub
model.names model.checkpoint.state_dict_keys
model.tensor_checks model.checkpoint.tensor_checks
model.weights model.checkpoint.weights
model_source inference.model_source
predictor inference.predictor
processor processing.processor
reading_order results.reading_order
records results.records
region_input processing.region_input
requests inference.prepared
runtime.attended runtime.openvino.cross_kv_cache
runtime.choosing runtime.factory
runtime.exported_openvino runtime.openvino.exported
runtime.graph_cache runtime.openvino.graph_cache
runtime.graphs runtime.openvino.graphs
runtime.interface runtime.protocol
runtime.onnx runtime.onnx.runtime
runtime.onnx_graphs runtime.onnx.graphs
runtime.onnx_precisions runtime.onnx.precisions
runtime.openvino runtime.openvino.runtime
runtime.pages runtime.openvino.mapped_memory
runtime.precisions runtime.openvino.precisions
runtime.pytorch runtime.torch.runtime
runtime.slots runtime.torch.static_buffers
runtime.static_quantization runtime.openvino.static_quantization
runtime.threads runtime.openvino.threads
runtime.traced runtime.tracing
scenes synthetic
scenes.absent synthetic.negatives
scenes.arrange synthetic.layout
scenes.art synthetic.asset_fetch
scenes.cache synthetic.asset_cache
scenes.captions synthetic.caption_writer
scenes.changes synthetic.sprite_augment
scenes.colours synthetic.colors
scenes.effects synthetic.camera
scenes.labels synthetic.scene_labels
scenes.language synthetic.english
scenes.lettering synthetic.text_render
scenes.naming synthetic.category_names
scenes.outlines synthetic.mask_polygons
scenes.packages synthetic.asset_packs
scenes.pen synthetic.canvas
scenes.placing synthetic.compositing
scenes.referring synthetic.expressions
scenes.settings synthetic.scene_settings
scenes.stream synthetic.record_stream
scenes.surfaces synthetic.text_surfaces
scenes.things synthetic.objects
scenes.words synthetic.vocabulary
scenes.writing synthetic.text_placement
scheduling inference.prefetch
selection results.postprocess
serve serving
serve.answering serving.handlers
serve.asking serving.service
serve.chat serving.openai_chat
serve.draining serving.shutdown
serve.guard serving.middleware
serve.limits serving.request_limits
serve.metrics serving.prometheus
serve.running serving.launcher
serve.schema serving.wire_schema
serve.worker serving.engine_worker
shards datasets.shards
shards.schema datasets.shards.columns
tasks results.tasks
tokenizer processing.tokenizer
train training
train.adapters training.lora
train.convert datasets.conversion
train.dense training.auxiliary.dense
train.encoded training.auxiliary.encoder_probe
train.endless training.streaming
train.looking training.auxiliary.attention_supervision
train.order training.sampler
train.parameters training.param_groups
train.places training.auxiliary.token_regions
train.readers training.worker_pool
train.reading training.auxiliary.char_head
train.reporting training.logger
train.samples training.sample_grid
train.simplify training.auxiliary.polygon_resampling
train.starting training.model_init
train.training training.trainer
train.validation datasets.label_checks
train.whole training.gather
vocabulary_file processing.vocabulary_file
workflows.exporting workflows.graph_export
"""
_NEW_NAMES = dict(line.split() for line in _MOVED.split("\n") if line)


class _MovedModule(ModuleType):
    """A module under its old name; its attributes are looked up where it is now."""

    __path__: list[str]
    target: ModuleType

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def __dir__(self) -> list[str]:
        return dir(self.target)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """``florence2.train(...)``, after ``import florence2.train`` has put the module there."""
        return self.target.train(*arguments, **options)


class _MovedModules(MetaPathFinder, Loader):
    """Finds modules by their old names, after every other finder has failed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if find_new_name(fullname) is None:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new_name = find_new_name(spec.name)
        assert new_name is not None
        module = _MovedModule(spec.name)
        # Not the path of the target: modules found on it would be loaded a second time.
        module.__path__ = []
        module.target = import_module(new_name)
        module.__doc__ = module.target.__doc__
        warnings.warn(
            f"{spec.name} is now {new_name}; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the module at the new place has run."""


def find_new_name(old_name: str) -> str | None:
    """The full name of the module that release 0.1 called ``old_name``; None for another name."""
    inner = old_name.removeprefix(f"{_PACKAGE}.")
    if inner == old_name:
        return None
    if inner in _NEW_NAMES:
        return f"{_PACKAGE}.{_NEW_NAMES[inner]}"
    parent, _, leaf = inner.rpartition(".")
    if parent not in _NEW_NAMES:
        return None
    new_name = f"{_PACKAGE}.{_NEW_NAMES[parent]}.{leaf}"
    return new_name if find_spec(new_name) else None


def install_moved_modules() -> None:
    """Make the old names importable."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
