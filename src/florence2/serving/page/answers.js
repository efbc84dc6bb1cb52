// Converts outputs of the server to a list of regions, text, and COCO.

const pairs = (values) => Array.from({ length: values.length / 2 }, (_, at) => [values[2 * at], values[2 * at + 1]]);

function bounds(points) {
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** Regions {label, score, box, polygons} of an output; none of a text. */
export function regionsOf({ answer }) {
  if (!answer || typeof answer === "string") return [];
  const labels = answer.polygons_labels?.length ? answer.polygons_labels : answer.bboxes_labels ?? answer.labels ?? [];
  const scores = answer.scores ?? answer.polygons_scores;
  const one = (index, box, polygons) => ({ label: labels[index] ?? "", score: scores ? scores[index] : null, box, polygons });
  if (answer.quad_boxes) return answer.quad_boxes.map((quad, index) => one(index, bounds(pairs(quad)), [pairs(quad)]));
  if (answer.polygons?.length) {
    return answer.polygons.map((parts, index) => {
      const polygons = parts.map(pairs);
      return one(index, bounds(polygons.flat()), polygons);
    });
  }
  return (answer.bboxes ?? []).map((box, index) => one(index, box, []));
}

/** The text of an output without location tokens; empty for regions. */
export function plainText({ answer }) {
  return typeof answer === "string" ? answer.replace(/<loc_\d+>/g, "").trim() : "";
}

/** Outputs as COCO instances. */
export function toCoco(items) {
  const categories = [], images = [], annotations = [];
  for (const { name, output: answer } of items) {
    const [width, height] = answer.image_size;
    images.push({ id: images.length + 1, file_name: name, width, height });
    for (const { label, score, box: [x0, y0, x1, y1], polygons } of regionsOf(answer)) {
      let category = categories.find((each) => each.name === (label || "object"));
      if (!category) categories.push(category = { id: categories.length + 1, name: label || "object" });
      annotations.push({
        id: annotations.length + 1, image_id: images.length, category_id: category.id, iscrowd: 0,
        bbox: [x0, y0, x1 - x0, y1 - y0], area: (x1 - x0) * (y1 - y0),
        segmentation: polygons.map((points) => points.flat()), ...(score === null ? {} : { score }),
      });
    }
  }
  return { images, categories, annotations };
}
