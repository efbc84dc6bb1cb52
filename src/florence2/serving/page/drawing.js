// A picture with its regions on a canvas.

/** A colour that stays with a label. */
export function colourOf(label) {
  let hash = 7;
  for (const letter of label || "?") hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return `hsl(${hash % 360} 85% 42%)`;
}

export function drawPicture(canvas, bitmap, regions, asked, scale) {
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.drawImage(bitmap, 0, 0);
  // A five hundredth of the canvas, in pixels of the picture.
  const unit = Math.max(canvas.width, canvas.height) / 500 / scale;
  pen.lineWidth = 1.8 * unit;
  pen.font = `600 ${11 * unit}px system-ui, sans-serif`;
  pen.textBaseline = "bottom";
  for (const region of regions) drawRegion(pen, region, unit);
  if (asked) {
    const [x0, y0, x1, y1] = asked;
    pen.setLineDash([6 * unit, 4 * unit]);
    pen.strokeStyle = "#2563eb";
    pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
    pen.setLineDash([]);
  }
}

function drawRegion(pen, { label, box: [x0, y0, x1, y1], outlines }, unit) {
  const colour = colourOf(label);
  pen.strokeStyle = colour;
  if (outlines.length) {
    const path = new Path2D();
    for (const points of outlines) {
      points.forEach(([x, y], at) => (at ? path.lineTo(x, y) : path.moveTo(x, y)));
      path.closePath();
    }
    pen.globalAlpha = 0.25;
    pen.fillStyle = colour;
    pen.fill(path);
    pen.globalAlpha = 1;
    pen.stroke(path);
  } else pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  if (!label) return;
  const height = 16 * unit, width = pen.measureText(label).width + 6 * unit;
  const top = y0 - height < 0 ? y0 + height : y0;
  pen.fillStyle = colour;
  pen.fillRect(x0, top - height, width, height);
  pen.fillStyle = "#fff";
  pen.fillText(label, x0 + 3 * unit, top - 1.5 * unit);
}
