// Answers as the server writes them, as one list of regions, and as COCO.

const pairs = (numbers) => Array.from({ length: numbers.length / 2 }, (_, at) => [numbers[2 * at], numbers[2 * at + 1]]);

function around(points) {
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** Regions {label, score, box, outlines} of an answer; none of a text. */
export function regionsOf({ answer }) {
  if (!answer || typeof answer === "string") return [];
  const labels = answer.polygons_labels?.length ? answer.polygons_labels : answer.bboxes_labels ?? answer.labels ?? [];
  const scores = answer.scores ?? answer.polygons_scores;
  const one = (index, box, outlines) => ({ label: labels[index] ?? "", score: scores ? scores[index] : null, box, outlines });
  if (answer.quad_boxes) return answer.quad_boxes.map((quad, index) => one(index, around(pairs(quad)), [pairs(quad)]));
  if (answer.polygons?.length) {
    return answer.polygons.map((parts, index) => {
      const outlines = parts.map(pairs);
      return one(index, around(outlines.flat()), outlines);
    });
  }
  return (answer.bboxes ?? []).map((box, index) => one(index, box, []));
}

/** The words of a text answer, without location tokens; nothing for regions. */
export function plainText({ answer }) {
  return typeof answer === "string" ? answer.replace(/<loc_\d+>/g, "").trim() : "";
}

/** COCO's instances of pictures that were answered. */
export function toCoco(pictures) {
  const categories = [], images = [], annotations = [];
  for (const { name, answer } of pictures) {
    const [width, height] = answer.image_size;
    images.push({ id: images.length + 1, file_name: name, width, height });
    for (const { label, score, box: [x0, y0, x1, y1], outlines } of regionsOf(answer)) {
      let category = categories.find((each) => each.name === (label || "object"));
      if (!category) categories.push(category = { id: categories.length + 1, name: label || "object" });
      annotations.push({
        id: annotations.length + 1, image_id: images.length, category_id: category.id, iscrowd: 0,
        bbox: [x0, y0, x1 - x0, y1 - y0], area: (x1 - x0) * (y1 - y0),
        segmentation: outlines.map((points) => points.flat()), ...(score === null ? {} : { score }),
      });
    }
  }
  return { images, categories, annotations };
}
