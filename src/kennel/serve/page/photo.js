// A photo as it is sent: a small file as it is, a large one with fewer pixels.
//
// The server makes the model's input itself. So that this changes no answer, what is sent keeps
// TIMES the pixels of that input, its numbers as they are in the file (profiles are ignored there,
// too), and the colour behind transparency that the bundle names. A kind that the server does not
// take and the browser can read (BMP, AVIF) is sent as JPEG; one that the browser cannot read
// (TIFF, HEIC) as it is, and the server decides.

export const SMALL = 1_500_000; // bytes up to which a file is not touched
export const LARGEST = 4_000_000; // bytes that all clouds let through: Lambda takes 6 MB as base64
export const TIMES = 5; // of the model's input, what the short side keeps
const QUALITIES = [0.92, 0.85, 0.75, 0.6];
const THUMBNAIL = 192; // pixels of the long side

// Args: file, and what the bundle says: its `preprocess` and the server's `limits`; null where it
// cannot be asked.
// Returns: {body, type, shrunk}; shrunk is {from, to} in bytes, or null.
export async function toSend(file, bundle) {
  const type = await contentType(file);
  const asItIs = { body: file, type, shrunk: null };
  const taken = takes(bundle?.limits?.formats, type);
  if ((taken && file.size <= SMALL) || !bundle?.preprocess?.size) return asItIs;
  const image = await decoded(file);
  if (image === null) return asItIs;
  try {
    const { size, fill } = bundle.preprocess;
    const scale = Math.min(1, (TIMES * size) / Math.min(image.width, image.height));
    if (taken && scale === 1 && file.size <= LARGEST) return asItIs;
    const body = await encoded(image, scale, fill ?? [128, 128, 128]);
    if (body === null || (taken && body.size >= file.size)) return asItIs;
    return { body, type: "image/jpeg", shrunk: { from: file.size, to: body.size } };
  } finally {
    image.close();
  }
}

// Whether the server reads "image/png" by its own list, such as ["JPEG", "PNG"].
function takes(formats, type) {
  return !formats || formats.some((name) => type === `image/${name.toLowerCase()}`);
}

// A picture of at most THUMBNAIL pixels, or null.
export async function thumbnail(file) {
  const image = await decoded(file);
  if (image === null) return null;
  try {
    const scale = Math.min(1, THUMBNAIL / Math.max(image.width, image.height));
    return await jpeg(drawn(image, scale, null), 0.8);
  } finally {
    image.close();
  }
}

// Upright by its EXIF; null where the browser cannot read it.
async function decoded(file) {
  try {
    return await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch {
    return null;
  }
}

// As good as fits: quality goes before pixels, and pixels stay.
async function encoded(image, scale, fill) {
  const canvas = drawn(image, scale, `rgb(${fill.join(" ")})`);
  let body = null;
  for (const quality of QUALITIES) {
    body = await jpeg(canvas, quality);
    if (body === null || body.size <= LARGEST) break;
  }
  return body;
}

function drawn(image, scale, fill) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = canvas.getContext("2d");
  if (fill !== null) {
    context.fillStyle = fill;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// null where the browser has no canvas as large as that.
function jpeg(canvas, quality) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
}

// What the first bytes say, else what the browser says by the name. Throws where the file went away.
async function contentType(file) {
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 12).arrayBuffer()));
  if (head.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (head.startsWith("\x89PNG")) return "image/png";
  if (head.startsWith("GIF8")) return "image/gif";
  if (head.startsWith("BM")) return "image/bmp";
  if (head.startsWith("II*\0") || head.startsWith("MM\0*")) return "image/tiff";
  if (head.startsWith("RIFF") && head.slice(8) === "WEBP") return "image/webp";
  if (/^....ftyp(hei|hev|mif1|msf1)/s.test(head)) return "image/heic";
  if (/^....ftypavi/s.test(head)) return "image/avif";
  return file.type || "application/octet-stream";
}
