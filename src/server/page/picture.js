// The picture beside an answer: how many tokens each layer computed, and which. Tokens come from strangers' texts and
// meet the page only as text.
import {element} from "/page/markdown.js";

const N_DEPTHS = 8;  // the classes d0 to d8 of the style sheet
const number = (value) => Math.round(value).toLocaleString("en-US");
const percent = (share) => share > 0 && share < 0.01 ? "under 1%" : `${Math.round(share * 100)}%`;
export const time = (ms) => ms < 999.5 ? `${Math.round(ms)} ms` : ms < 99950 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
const visible = (text) => text.replace(/\n/g, "\u21b5").replace(/\t/g, "\u21e5").replace(/ /g, "\u00b7") || "(a part of the next character)";

// How many pruning layers each token passed.
function survivals(stages, nTokens) {
  const survived = new Uint16Array(nTokens);
  stages.forEach((stage, s) => {
    for (const position of stage.positions ?? []) if (survived[position] === s) survived[position] = s + 1;
  });
  return survived;
}

export class Picture {
  constructor({lazy, timings, usage}, nLayersOfModel) {
    this.pieces = lazy?.pieces ?? [];
    this.nTokens = usage?.prompt_tokens ?? this.pieces.length;
    this.stages = (lazy?.stages ?? []).filter((stage) => stage.positions !== undefined);
    this.nLayers = lazy?.computed_tokens?.length || nLayersOfModel || 1;
    this.computed = lazy?.computed_tokens ?? new Array(this.nLayers).fill(this.nTokens);
    this.survived = survivals(this.stages, this.pieces.length);
    this.revived = lazy?.revived_rows ?? 0;
    this.policy = lazy?.policy;
    this.timings = timings ?? {};
    this.nCached = this.timings.cache_n ?? 0;
    this.share = this.nTokens > 0 ? this.computed.reduce((sum, n) => sum + n, 0) / (this.nTokens * this.nLayers) : 1;
    this.cursor = -1;
    this.node = this.make();
  }

  layersOf(survived) { return survived < this.stages.length ? this.stages[survived].layer + 1 : this.nLayers; }
  fateOf(survived) { return survived < this.stages.length ? `stopped after layer ${this.stages[survived].layer}` : "went to the top"; }

  // 0 to 8: nothing above the first pruning layer to all layers.
  depth(survived) {
    const least = this.layersOf(0);
    return least >= this.nLayers ? N_DEPTHS : Math.round((this.layersOf(survived) - least) / (this.nLayers - least) * N_DEPTHS);
  }

  make() {
    const share = element("span", {className: "share", textContent: percent(this.share)});
    const summary = element("summary", {}, share,
      element("span", {textContent: `of the prompt computed, ${number(this.nTokens)} tokens in ${this.nLayers} layers`}));
    const details = element("details", {className: "picture", open: true}, summary);
    this.inside = element("div", {className: "inside"});
    details.append(this.inside);
    const fill = () => {
      if (!details.open) return;
      if (this.inside.childNodes.length === 0) this.fill();
      requestAnimationFrame(() => this.drawMap());
    };
    details.addEventListener("toggle", fill);
    return details;
  }

  fill() {
    this.inside.append(this.facts(), element("h3", {textContent: "Tokens computed in each layer"}), this.columns(), this.axis());
    if (this.pieces.length === 0) return;
    this.map = element("canvas", {className: "map", height: 14, title: "The whole prompt from left to right; click to go there"});
    this.map.setAttribute("aria-hidden", "true");
    this.map.addEventListener("click", (event) => this.goTo(event));
    this.inside.append(element("h3", {textContent: "The prompt's tokens"}), this.map, this.legend(), this.tokens(), this.spoken);
  }

  facts() {
    const list = element("dl", {className: "facts"});
    const add = (name, value) => list.append(element("div", {}, element("dt", {textContent: name}), element("dd", {textContent: value})));
    if (this.timings.ttft_ms !== undefined) add("First token after", time(this.timings.ttft_ms));
    if (this.timings.predicted_per_second > 0) add("Then, each second", `${this.timings.predicted_per_second.toFixed(1)} tokens`);
    const schedule = this.stages.map((stage) => `${stage.layer}:${stage.keep ?? (stage.keep_mass ? `p${stage.keep_mass}` : `@${stage.keep_tokens}`)}`);
    add("Schedule", schedule.length > 0 ? `${schedule.join(", ")}${this.policy ? ` (${this.policy})` : ""}` : "dense");
    add("From the prompt cache", this.nCached > 0 ? `${number(this.nCached)} tokens` : "nothing");
    if (this.revived > 0) add("Came back while answering", `${number(this.revived)} rows`);
    return list;
  }

  columns() {
    const prunes = new Set(this.stages.map((stage) => stage.layer));
    const columns = element("div", {className: "columns"});
    columns.setAttribute("role", "img");
    const least = Math.min(...this.computed);
    columns.setAttribute("aria-label", this.stages.length === 0 ? `All ${number(this.nTokens)} tokens in each of ${this.nLayers} layers`
      : `From ${number(this.computed[0])} tokens in layer 0 to ${number(least)} in the top layers, less after layer ${[...prunes].join(", ")}`);
    this.computed.forEach((n, layer) => {
      const share = this.nTokens > 0 ? n / this.nTokens : 0;
      const bar = element("i");
      bar.style.height = `${share * 100}%`;
      columns.append(element("span", {className: share < 1 ? "now" : "", title: `layer ${layer}: ${number(n)} tokens, ${percent(share)}`}, bar));
    });
    return columns;
  }

  axis() {
    const axis = element("div", {className: "axis"});
    axis.setAttribute("aria-hidden", "true");
    const prunes = new Set(this.stages.map((stage) => stage.layer));
    for (let layer = 0; layer < this.nLayers; ++layer) {
      const near = [-2, -1, 1, 2].some((step) => prunes.has(layer + step));
      const shown = prunes.has(layer) || (!near && (layer % 5 === 0 || layer === this.nLayers - 1));
      axis.append(element("span", {className: prunes.has(layer) ? "prune" : "", textContent: shown ? layer : ""}));
    }
    return axis;
  }

  legend() {
    const counts = new Array(this.stages.length + 1).fill(0);
    for (const survived of this.survived) ++counts[survived];
    const legend = element("ul", {className: "legend"});
    counts.forEach((n, survived) => {
      const name = this.stages.length === 0 ? "computed in all layers" : this.fateOf(survived);
      legend.append(element("li", {}, element("i", {className: `d${this.depth(survived)}`}), `${name}: ${number(n)}`));
    });
    if (this.nCached > 0) legend.append(element("li", {}, element("i", {className: "cached"}), `from the prompt cache: ${number(this.nCached)}`));
    return legend;
  }

  tokens() {
    const box = element("div", {className: "tokens", tabIndex: 0});
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `${number(this.pieces.length)} tokens of the prompt; the arrow keys go from one to the next`);
    const fragment = document.createDocumentFragment();
    const classes = Array.from({length: this.stages.length + 1}, (_, survived) => `d${this.depth(survived)}`);
    this.pieces.forEach((piece, i) => {
      const span = document.createElement("span");
      span.className = i < this.nCached ? `${classes[this.survived[i]]} cached` : classes[this.survived[i]];
      span.textContent = piece;
      span.position = i;
      fragment.append(span);
    });
    box.append(fragment);
    this.box = box;
    this.spoken = element("p", {className: "hidden"});
    this.spoken.setAttribute("role", "status");
    const look = (event) => {
      const span = event.target.closest(".tokens > span");
      if (span === null) {
        hideTip();
        return;
      }
      this.mark(span.position);
      this.tell(this.cursor, event.clientX, event.clientY);
    };
    box.addEventListener("pointermove", look);
    box.addEventListener("click", look);
    box.addEventListener("pointerleave", () => this.unpoint());
    box.addEventListener("blur", () => this.unpoint());
    box.addEventListener("keydown", (event) => this.move(event));
    box.addEventListener("scroll", hideTip, {passive: true});
    return box;
  }

  describe(i) {
    const layers = this.layersOf(this.survived[i]);
    const cached = i < this.nCached ? ", from the prompt cache" : "";
    return `token ${number(i)}: ${layers} of ${this.nLayers} layers, ${this.fateOf(this.survived[i])}${cached}`;
  }

  mark(i) {
    this.box.children[this.cursor]?.classList.remove("at");
    this.cursor = i;
    this.box.children[i].classList.add("at");
  }

  tell(i, x, y) {
    showTip(visible(this.pieces[i]), this.describe(i), this.layersOf(this.survived[i]) / this.nLayers, x, y);
  }

  // The place is remembered for the arrow keys.
  unpoint() {
    this.box.children[this.cursor]?.classList.remove("at");
    hideTip();
  }

  move(event) {
    const last = this.pieces.length - 1;
    const steps = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -last - 1, End: last + 1};
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const to = Math.max(0, Math.min(last, this.cursor < 0 ? 0 : this.cursor + step));
    this.mark(to);
    const span = this.box.children[to];
    span.scrollIntoView({block: "nearest"});
    // The scroll that this may cause hides the tip, so it comes after.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      if (this.cursor !== to) return;
      const place = span.getBoundingClientRect();
      this.tell(to, place.left, place.bottom - 8);
    }));
    this.spoken.textContent = `${visible(this.pieces[to])}, ${this.describe(to)}`;
  }

  goTo(event) {
    const place = event.currentTarget.getBoundingClientRect();
    const i = Math.floor((event.clientX - place.left) / place.width * this.pieces.length);
    const span = this.box.children[Math.max(0, Math.min(this.pieces.length - 1, i))];
    this.box.scrollTop = span.offsetTop - this.box.offsetTop - this.box.clientHeight / 2;
  }

  drawMap() {
    if (!this.map || this.map.clientWidth === 0) return;
    const width = Math.max(1, Math.round(this.map.clientWidth * devicePixelRatio));
    this.map.width = width;
    this.map.height = Math.round(14 * devicePixelRatio);
    const sums = new Float64Array(width);
    const counts = new Float64Array(width);
    this.survived.forEach((survived, i) => {
      const first = Math.floor(i / this.pieces.length * width);
      const end = Math.max(first + 1, Math.ceil((i + 1) / this.pieces.length * width));
      for (let x = first; x < Math.min(end, width); ++x) {
        sums[x] += this.depth(survived) / N_DEPTHS;
        counts[x] += 1;
      }
    });
    const context = this.map.getContext("2d");
    const style = getComputedStyle(this.map);
    context.fillStyle = style.getPropertyValue("--line");
    context.fillRect(0, 0, width, this.map.height);
    const mark = style.getPropertyValue("--mark");
    for (let x = 0; x < width; ++x) {
      context.fillStyle = `rgba(${mark}, ${counts[x] > 0 ? Math.sqrt(sums[x] / counts[x]) : 0})`;
      context.fillRect(x, 0, 1, this.map.height);
    }
  }
}

const tip = document.getElementById("tip");

function showTip(text, note, share, x, y) {
  tip.children[0].textContent = text;
  tip.children[1].textContent = note;
  tip.children[2].firstChild.style.width = `${share * 100}%`;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + box.height + 28 > innerHeight ? y - box.height - 14 : y + 20}px`;
  tip.style.visibility = "visible";
}

export function hideTip() { tip.style.visibility = "hidden"; }
