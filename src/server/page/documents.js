// Makes text of the files that are dropped in. What cannot be read becomes an error whose message is one sentence.
export class DocumentError extends Error {}

const MAX_BYTES = 64 << 20;
const MAX_CHARACTERS = 4 << 20;  // the server takes 16 MiB

function decode(bytes, charset) {
  try {
    return new TextDecoder(charset, {fatal: true}).decode(bytes);
  } catch {
    return null;
  }
}

// UTF-8, UTF-16 with its mark, what an HTML file says of itself, or else what old Western files are written in.
function textOf(bytes, name) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return decode(bytes, "utf-16le") ?? "";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return decode(bytes, "utf-16be") ?? "";
  if (bytes.subarray(0, 65536).includes(0)) {
    throw new DocumentError(`${name} is no text: this page reads text, Markdown, HTML and PDF files.`);
  }
  const utf8 = decode(bytes, "utf-8");
  if (utf8 !== null) return utf8;
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, 2048));
  const declared = /charset\s*=\s*["']?([\w-]+)/i.exec(start);
  return (declared && decode(bytes, declared[1])) ?? new TextDecoder("windows-1252").decode(bytes);
}

const HIDDEN = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "IFRAME", "OBJECT", "SVG", "HEAD", "SELECT", "BUTTON", "CANVAS"]);
const BLOCKS = new Set(["ADDRESS", "ARTICLE", "ASIDE", "BLOCKQUOTE", "BR", "DD", "DIV", "DL", "DT", "FIGCAPTION", "FIGURE", "FOOTER",
  "FORM", "H1", "H2", "H3", "H4", "H5", "H6", "HEADER", "HR", "LI", "MAIN", "NAV", "OL", "P", "PRE", "SECTION", "TABLE", "TR", "UL"]);

// A parsed document runs nothing and loads nothing.
export function htmlText(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const pieces = [];
  const walker = parsed.createTreeWalker(parsed.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => {
    return node.nodeType === Node.ELEMENT_NODE && (HIDDEN.has(node.nodeName.toUpperCase()) || node.hidden)
      ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT;
  });
  let block = parsed.body;
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    if (node.nodeType === Node.ELEMENT_NODE) {
      if (/^H[1-6]$/.test(node.nodeName) || node.nodeName === "P") pieces.push("\n\n");
      else if (BLOCKS.has(node.nodeName)) pieces.push("\n");
      else if (node.nodeName === "TD" || node.nodeName === "TH") pieces.push("\t");
      continue;
    }
    let holder = node.parentElement;
    while (holder !== parsed.body && !BLOCKS.has(holder.nodeName)) holder = holder.parentElement;
    if (holder !== block) pieces.push("\n");  // text behind a block that has ended
    block = holder;
    const keepsSpace = node.parentElement.closest("pre, textarea") !== null;
    pieces.push(keepsSpace ? node.data : node.data.replace(/\s+/g, " "));
  }
  return pieces.join("").split("\n").map((line) => line.replace(/^[ \t]+$/, "").trimEnd()).join("\n")
    .replace(/\n[ ]+(?=\S)/g, "\n").replace(/\n{3,}/g, "\n\n").trim();
}

let pdfLibrary = null;
function loadPdfLibrary() {
  pdfLibrary ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/page/pdf.js";
    script.onload = () => {
      const library = globalThis["pdfjs-dist/build/pdf"] ?? globalThis.pdfjsLib;
      library.GlobalWorkerOptions.workerSrc = "/page/pdf.worker.js";
      resolve(library);
    };
    script.onerror = () => {
      pdfLibrary = null;
      reject(new DocumentError("This server was built without pdf.js and cannot read PDF files: save the document as text and " +
        "drop that, or build lazyfill where Debian's package libjs-pdf is installed."));
    };
    document.head.append(script);
  });
  return pdfLibrary;
}

async function pageText(page) {
  const content = await page.getTextContent();
  return content.items.map((item) => item.str + (item.hasEOL ? "\n" : "")).join("").trim();
}

async function pdfText(bytes, name) {
  const library = await loadPdfLibrary();
  // Nothing is drawn: fonts are not needed, and code is never made of a file.
  const task = library.getDocument({data: bytes, isEvalSupported: false, disableFontFace: true, useSystemFonts: false, verbosity: 0});
  const pages = [];
  try {
    const pdf = await task.promise;
    for (let i = 1; i <= pdf.numPages; ++i) pages.push(await pageText(await pdf.getPage(i)));
  } catch (error) {
    if (error?.name === "PasswordException") throw new DocumentError(`${name} is locked with a password; save it without one first.`);
    throw new DocumentError(`${name} cannot be read as a PDF file; is it complete?`);
  } finally {
    task.destroy();
  }
  const text = pages.filter((page) => page !== "").join("\n\n");
  if (text === "") throw new DocumentError(`${name} holds no text, only pictures of it; a program for text recognition can add it.`);
  return text;
}

const startsLike = (bytes, text) => [...text].every((c, i) => bytes[i] === c.charCodeAt(0));

export async function readDocument(file) {
  const name = file.name || "The file";
  if (file.size > MAX_BYTES) throw new DocumentError(`${name} is larger than ${MAX_BYTES >> 20} MiB.`);
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new DocumentError(`${name} cannot be read; is it a folder, or was it moved?`);
  }
  const isPdf = startsLike(bytes, "%PDF-") || file.type === "application/pdf";
  let text = isPdf ? await pdfText(bytes, name) : textOf(bytes, name);
  const isHtml = !isPdf && (/\.x?html?$/i.test(name) || /html/.test(file.type));
  if (isHtml) text = htmlText(text);
  text = text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n").trim();
  if (text === "") throw new DocumentError(`${name} holds no text.`);
  if (text.length > MAX_CHARACTERS) throw new DocumentError(`${name} holds more than ${MAX_CHARACTERS >> 20} million characters; take a part of it.`);
  return {name, text};
}
