// The little Markdown that answers use, made of nodes. Text comes from a model, which may have it from a stranger: it
// meets the page only as text, and links only with harmless schemes. Every loop goes forward, so that odd text costs
// time in proportion to its length.
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const LINK = /^https?:\/\/[^\s<>"]+$|^mailto:[^\s<>"]+$/i;
const MAX_DEPTH = 6;

// `**bold**` and the like: where the mark that opens at `start` closes, or -1. It may not close behind a space.
function closing(text, mark, start) {
  if (start >= text.length || /\s/.test(text[start])) return -1;
  for (let end = text.indexOf(mark, start + 1); end >= 0; end = text.indexOf(mark, end + 1)) {
    if (/\s/.test(text[end - 1])) continue;
    if (mark.length === 1 && text[end + 1] === mark) {
      ++end;  // the first half of a double mark
      continue;
    }
    return end;
  }
  return -1;
}

// A span that begins at `at`: {node, end}, or null where it is plain text. `open` remembers marks that never close.
function spanAt(text, at, depth, open) {
  const c = text[at];
  if (c === "\\" && at + 1 < text.length && /[\\`*_[\]#|~>-]/.test(text[at + 1])) {
    return {node: document.createTextNode(text[at + 1]), end: at + 2};
  }
  if (c === "`") {
    let n = 1;
    while (text[at + n] === "`") ++n;
    const mark = "`".repeat(n);
    const end = open.has(mark) ? -1 : text.indexOf(mark, at + n);
    if (end < 0) {
      open.add(mark);
      return {node: document.createTextNode(mark), end: at + n};
    }
    return {node: element("code", {textContent: text.slice(at + n, end)}), end: end + n};
  }
  if (c === "[") return linkAt(text, at, depth, open);
  if (c !== "*" && c !== "_" && c !== "~") return null;
  const double = text[at + 1] === c;
  if (c === "~" && !double) return null;
  if (c === "_" && at > 0 && /[\p{L}\p{N}]/u.test(text[at - 1])) return null;  // snake_case
  const mark = double ? c + c : c;
  const start = at + mark.length;
  const end = open.has(mark) ? -1 : closing(text, mark, start);
  if (end < 0) {
    if (start < text.length && !/\s/.test(text[start])) open.add(mark);
    return {node: document.createTextNode(mark), end: start};
  }
  const tag = c === "~" ? "s" : double ? "strong" : "em";
  const node = element(tag);
  addSpans(node, text.slice(start, end), depth + 1);
  return {node, end: end + mark.length};
}

function linkAt(text, at, depth, open) {
  if (open.has("](")) return null;
  const middle = text.indexOf("](", at);
  if (middle < 0) open.add("](");
  const end = middle < 0 || middle - at > 500 ? -1 : text.slice(middle, middle + 2000).indexOf(")");
  if (end < 0) return null;
  const href = text.slice(middle + 2, middle + end);
  if (!LINK.test(href)) return null;
  const node = element("a", {href, target: "_blank", rel: "noopener noreferrer"});
  addSpans(node, text.slice(at + 1, middle), MAX_DEPTH);
  return {node, end: middle + end + 1};
}

function addSpans(parent, text, depth = 0) {
  if (depth >= MAX_DEPTH) {
    parent.append(text);
    return;
  }
  const open = new Set();
  let plain = 0;
  let at = 0;
  while (at < text.length) {
    const span = "\\`[*_~".includes(text[at]) ? spanAt(text, at, depth, open) : null;
    if (span === null) {
      ++at;
      continue;
    }
    if (plain < at) parent.append(text.slice(plain, at));
    parent.append(span.node);
    at = plain = span.end;
  }
  if (plain < text.length) parent.append(text.slice(plain));
}

const ITEM = /^( {0,12})([-*+]|\d{1,9}[.)]) +(.*)$/;
const HEADING = /^ {0,3}(#{1,6}) +(.*)$/;
const FENCE = /^ {0,3}(```+|~~~+)/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const TABLE_RULE = /^ *\|?( *:?-+:? *\|)+( *:?-+:? *)?\|? *$/;

const isBlock = (line) => ITEM.test(line) || HEADING.test(line) || FENCE.test(line) || RULE.test(line) || /^ {0,3}>/.test(line);

function fenced(lines, first) {
  const fence = FENCE.exec(lines[first])[1];
  let end = first + 1;
  while (end < lines.length && !lines[end].trimStart().startsWith(fence)) ++end;
  const code = element("code", {textContent: lines.slice(first + 1, end).join("\n")});
  // What is wider than the page scrolls, and whoever has no mouse must be able to do that.
  return {node: element("pre", {tabIndex: 0}, code), end: Math.min(end + 1, lines.length)};
}

// Items of one depth and the lists within them.
function list(lines, first) {
  const [, indent, marker] = ITEM.exec(lines[first]);
  const ordered = /\d/.test(marker);
  const node = element(ordered ? "ol" : "ul");
  if (ordered) node.start = Number.parseInt(marker, 10);
  let at = first;
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (item === null || item[1].length < indent.length) break;
    if (item[1].length > indent.length + 1 && node.lastChild !== null) {
      const inner = list(lines, at);
      node.lastChild.append(inner.node);
      at = inner.end;
      continue;
    }
    if (/\d/.test(item[2]) !== ordered) break;
    let text = item[3];
    for (++at; at < lines.length && lines[at].trim() !== "" && !isBlock(lines[at]); ++at) text += "\n" + lines[at].trim();
    const made = element("li");
    addSpans(made, text);
    node.append(made);
    // Between items blank lines are allowed.
    if (at + 1 < lines.length && lines[at].trim() === "" && ITEM.test(lines[at + 1])) ++at;
  }
  return {node, end: at};
}

const cells = (line) => line.trim().replace(/^\|/, "").replace(/\|$/, "").split("|");

function table(lines, first) {
  const row = (line, tag) => element("tr", {}, ...cells(line).map((text) => {
    const cell = element(tag);
    addSpans(cell, text.trim());
    return cell;
  }));
  const made = element("table", {}, element("thead", {}, row(lines[first], "th")));
  const body = element("tbody");
  let at = first + 2;
  for (; at < lines.length && lines[at].includes("|"); ++at) body.append(row(lines[at], "td"));
  made.append(body);
  return {node: element("div", {className: "wide", tabIndex: 0}, made), end: at};
}

function quote(lines, first) {
  let end = first;
  const inner = [];
  for (; end < lines.length && /^ {0,3}>/.test(lines[end]); ++end) inner.push(lines[end].replace(/^ {0,3}> ?/, ""));
  const node = element("blockquote");
  addSpans(node, inner.join("\n"));
  return {node, end};
}

function paragraph(lines, first) {
  let end = first + 1;
  while (end < lines.length && lines[end].trim() !== "" && !isBlock(lines[end])) ++end;
  const node = element("p");
  lines.slice(first, end).forEach((line, i) => {
    if (i > 0) node.append(element("br"));
    addSpans(node, line);
  });
  return {node, end};
}

function blockAt(lines, at) {
  const line = lines[at];
  if (FENCE.test(line)) return fenced(lines, at);
  if (RULE.test(line)) return {node: element("hr"), end: at + 1};
  const heading = HEADING.exec(line);
  if (heading !== null) {
    const node = element(heading[1].length < 3 ? "h3" : "h4");
    addSpans(node, heading[2]);
    return {node, end: at + 1};
  }
  if (ITEM.test(line)) return list(lines, at);
  if (/^ {0,3}>/.test(line)) return quote(lines, at);
  if (line.includes("|") && at + 1 < lines.length && lines[at + 1].length < 1000 && TABLE_RULE.test(lines[at + 1])) return table(lines, at);
  return paragraph(lines, at);
}

// Writes a growing text into `target` again and again. Blocks that can no longer change stay as they are, so that a
// long answer is not made anew with every token.
export class MarkdownWriter {
  constructor(target) {
    this.target = target;
    this.settled = 0;       // characters of the text whose blocks are final
    this.settledNodes = 0;  // and their nodes
  }

  write(text) {
    const target = this.target;
    while (target.childNodes.length > this.settledNodes) target.lastChild.remove();
    const lines = text.slice(this.settled).split("\n");
    let offset = this.settled;
    let at = 0;
    while (at < lines.length) {
      if (lines[at].trim() === "") {
        offset += lines[at++].length + 1;
        continue;
      }
      const block = blockAt(lines, at);
      target.append(block.node);
      for (; at < block.end; ++at) offset += lines[at].length + 1;
      // The two newest lines may still turn a paragraph into a table, or go on with a list.
      if (at < lines.length - 2) {
        this.settled = offset;
        this.settledNodes = target.childNodes.length;
      }
    }
  }
}
