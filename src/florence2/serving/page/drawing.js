// Draws an image with its regions on a canvas.

/** The color of a label. */
export function colorOf(label) {
  let hash = 7;
  for (const character of label || "?") hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return `hsl(${hash % 360} 85% 42%)`;
}

export function drawAnnotated(canvas, bitmap, regions, selection, scale) {
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.drawImage(bitmap, 0, 0);
  // 1/500 of the canvas, in pixels of the image.
  const unit = Math.max(canvas.width, canvas.height) / 500 / scale;
  context.lineWidth = 1.8 * unit;
  context.font = `600 ${11 * unit}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  for (const region of regions) drawRegion(context, region, unit);
  if (selection) {
    const [x0, y0, x1, y1] = selection;
    context.setLineDash([6 * unit, 4 * unit]);
    context.strokeStyle = "#2563eb";
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    context.setLineDash([]);
  }
}

function drawRegion(context, { label, box: [x0, y0, x1, y1], polygons }, unit) {
  const color = colorOf(label);
  context.strokeStyle = color;
  if (polygons.length) {
    const path = new Path2D();
    for (const points of polygons) {
      points.forEach(([x, y], at) => (at ? path.lineTo(x, y) : path.moveTo(x, y)));
      path.closePath();
    }
    context.globalAlpha = 0.25;
    context.fillStyle = color;
    context.fill(path);
    context.globalAlpha = 1;
    context.stroke(path);
  } else context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  if (!label) return;
  const height = 16 * unit, width = context.measureText(label).width + 6 * unit;
  const top = y0 - height < 0 ? y0 + height : y0;
  context.fillStyle = color;
  context.fillRect(x0, top - height, width, height);
  context.fillStyle = "#fff";
  context.fillText(label, x0 + 3 * unit, top - 1.5 * unit);
}
