// The page's conversation. It is kept here, in memory, and nowhere else.
import {DocumentError, readDocument} from "/page/documents.js";
import {MarkdownWriter, element} from "/page/markdown.js";
import {Picture, hideTip, time} from "/page/picture.js";
import {ServerError, ask, countTokens, health, properties} from "/page/stream.js";

const get = (id) => document.getElementById(id);
const number = (value) => Math.round(value).toLocaleString("en-US");
const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;

let model = {nLayers: 0, nContext: 0};
let isReady = false;
let messages = [];   // what the server gets: {role, content}
let documents = [];  // that go with the next question: {name, text, nTokens}
let pictures = [];
let running = null;  // the AbortController of the answer that is being written

// --- What is said to the user ---

function notice(text, isCalm = false) {
  const place = get("notice");
  place.hidden = text === "";
  place.classList.toggle("calm", isCalm);
  if (place.textContent !== text) place.textContent = text;
}

const say = (text) => { get("status").textContent = text; };

// Follows what is written, unless the reader has gone elsewhere.
const isAtEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
function followEnd(wasAtEnd) {
  if (wasAtEnd) scrollTo({top: document.documentElement.scrollHeight, behavior: "instant"});
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // pages that come without TLS from another machine have no clipboard
    const area = element("textarea", {className: "hidden", value: text});
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = "Copied";
  say("Copied.");
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
}

// --- Settings ---

function chosenLazy() {
  return get("lazy").value === "schedule" ? get("schedule").value.trim() : get("lazy").value;
}

function showLazy(schedule) {
  const known = [...get("lazy").options].some((option) => option.value === schedule);
  get("lazy").value = known ? schedule : "schedule";
  if (!known) get("schedule").value = schedule;
  get("schedule-field").hidden = known;
}

function setUpTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    get("theme").setAttribute("aria-pressed", String(isDark()));
    for (const picture of pictures) picture.drawMap();
  };
  try {
    const kept = localStorage.getItem("theme");
    if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
  } catch { /* the browser keeps nothing for this page */ }
  get("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", document.documentElement.dataset.theme);
    } catch { /* as above */ }
    show();
  });
  system.addEventListener("change", show);
  show();
}

// --- Documents ---

function showDocuments() {
  updateSend();
  get("documents").hidden = documents.length === 0;
  get("documents").replaceChildren(...documents.map((one) => {
    const size = one.nTokens === undefined ? `${count(one.text.length, "character")}` : count(one.nTokens, "token");
    const remove = element("button", {type: "button", className: "plain", textContent: "Remove", ariaLabel: `Remove ${one.name}`});
    remove.addEventListener("click", () => {
      documents = documents.filter((other) => other !== one);
      showDocuments();
      get("question").focus();
    });
    return element("li", {}, element("b", {textContent: one.name, title: one.name}), element("span", {className: "soft", textContent: size}), remove);
  }));
}

async function takeFiles(files) {
  notice("");
  for (const file of files) {
    say(`Reading ${file.name}`);
    try {
      const read = await readDocument(file);
      documents.push(read);
      showDocuments();
      say(`${read.name} is attached.`);
      await countDocument(read);
    } catch (error) {
      notice(error instanceof DocumentError ? error.message : `${file.name} cannot be read.`);
    }
  }
  get("file").value = "";
  get("question").focus();
}

async function countDocument(read) {
  try {
    read.nTokens = await countTokens(read.text);
  } catch {
    return;  // the server says more when it is asked
  }
  showDocuments();
  say(`${read.name} is attached, ${count(read.nTokens, "token")}.`);
  if (model.nContext > 0 && read.nTokens >= model.nContext) {
    notice(`${read.name} has ${number(read.nTokens)} tokens and the model reads at most ${number(model.nContext)}: take a part of it, ` +
      "or start the server with a larger --ctx.");
  }
}

function setUpDocuments() {
  get("attach").addEventListener("click", () => get("file").click());
  get("file").addEventListener("change", () => takeFiles([...get("file").files]));
  let depth = 0;  // enter and leave also come from the elements within
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    ++depth;
    get("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (hasFiles(event) && --depth <= 0) get("drop").hidden = true;
  });
  addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    get("drop").hidden = true;
    takeFiles([...event.dataTransfer.files]);
  });
  get("question").addEventListener("paste", (event) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    takeFiles([...event.clipboardData.files]);
  });
}

// --- One question and its answer ---

// The part of the page that an answer grows in.
class Turn {
  constructor(question, attached) {
    this.text = "";
    this.thoughts = "";
    const asked = element("div", {className: "asked"});
    if (attached.length > 0) {
      asked.append(element("ul", {ariaLabel: "Documents"}, ...attached.map((one) => element("li", {textContent: one.name}))));
    }
    asked.append(element("h2", {className: "hidden", textContent: "You"}), element("p", {textContent: question}));
    this.bar = element("progress", {max: 1, ariaLabel: "Reading the prompt"});
    this.barText = element("p", {textContent: "Waiting for the server"});
    this.reading = element("div", {className: "reading"}, this.bar, this.barText);
    this.said = element("div", {className: "said"});
    this.writer = new MarkdownWriter(this.said);
    this.answer = element("div", {className: "answer"}, element("h2", {textContent: "Answer"}), this.reading, this.said);
    this.node = element("article", {className: "turn"}, asked, this.answer);
    this.node.setAttribute("aria-busy", "true");
  }

  progress({total, cache, processed, time_ms: ms, layer, n_layers: nLayers, rows_left: rows}) {
    this.bar.value = total > cache ? (processed - cache) / (total - cache) : 1;
    const cached = cache > 0 ? ` (${number(cache)} from the cache)` : "";
    this.barText.textContent = `Reading the prompt: ${number(processed)} of ${number(total)} tokens${cached}, ` +
      `layer ${layer + 1} of ${nLayers} with ${count(rows, "row")}, ${time(ms)}`;
  }

  add(piece) {
    this.text += piece;
    this.writeSoon();
  }

  think(piece) {
    this.thoughts += piece;
    if (this.thinking === undefined) {
      this.thinking = element("p");
      this.said.before(element("details", {className: "thinking", open: true}, element("summary", {textContent: "Thoughts"}), this.thinking));
    }
    this.writeSoon();
  }

  // Once a frame, however fast tokens come.
  writeSoon() {
    this.frame ??= requestAnimationFrame(() => this.write());
  }

  write() {
    cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const wasAtEnd = isAtEnd();
    this.reading.hidden = true;
    if (this.thinking !== undefined) this.thinking.textContent = this.thoughts.trim();
    this.writer.write(this.text.trimStart());
    followEnd(wasAtEnd);
  }

  end(note, isFailure = false) {
    this.write();
    this.node.setAttribute("aria-busy", "false");
    const foot = element("div", {className: "foot"});
    if (this.text.trim() !== "") {
      const button = element("button", {type: "button", className: "plain", textContent: "Copy"});
      button.setAttribute("aria-label", "Copy the answer");
      button.addEventListener("click", () => copy(this.text.trim(), button));
      foot.append(button);
    }
    if (note !== "") foot.append(element("span", {className: isFailure ? "failed" : "", textContent: note}));
    this.answer.append(foot);
  }
}

function contentOf(question, attached) {
  const parts = attached.map((one) => `Document "${one.name}":\n\n${one.text}`);
  return [...parts, question].join("\n\n");
}

function showRunning(isRunning) {
  const hadFocus = [get("send"), get("stop")].includes(document.activeElement);
  get("send").hidden = isRunning;
  get("stop").hidden = !isRunning;
  if (hadFocus) get(isRunning ? "stop" : "question").focus();
  updateSend();
}

function updateSend() {
  get("send").disabled = !isReady || (get("question").value.trim() === "" && documents.length === 0);
}

function showPicture(turn, result) {
  for (const picture of pictures) if (!picture.wasOpened) picture.node.open = false;
  const picture = new Picture(result, model.nLayers);
  pictures.push(picture);
  turn.node.append(picture.node);
}

// What was asked goes back to where it can be changed and sent again.
function giveBack(question, attached) {
  if (get("question").value.trim() === "") get("question").value = question;
  documents = [...attached, ...documents];
  showDocuments();
  fitQuestion();
}

async function send() {
  const question = get("question").value.trim();
  if (running !== null || !isReady || (question === "" && documents.length === 0)) return;
  const attached = documents;
  documents = [];
  showDocuments();
  get("question").value = "";
  fitQuestion();
  notice("");
  get("welcome").hidden = true;
  const turn = new Turn(question || "Summarise the document.", attached);
  get("log").append(turn.node);
  followEnd(true);
  running = new AbortController();
  const {signal} = running;
  showRunning(true);
  say("Reading the prompt.");
  const content = contentOf(question || "Summarise the document.", attached);
  try {
    const result = await ask([...messages, {role: "user", content}], chosenLazy(), signal, {
      progress: (progress) => turn.progress(progress),
      text: (piece) => turn.add(piece),
      thought: (piece) => turn.think(piece),
    });
    messages.push({role: "user", content}, {role: "assistant", content: turn.text});
    turn.end(result.finishReason === "length" ? "The answer has reached its longest length." : "");
    showPicture(turn, result);
    say(`Answer: ${turn.text.trim() || "no text"}`);
  } catch (error) {
    if (signal.reason === "forgotten") return;
    stopped(signal.aborted ? null : error, turn, question, content, attached);
  } finally {
    if (running?.signal === signal) {
      running = null;
      showRunning(false);
    }
  }
}

// `error` is null where the user has stopped it.
function stopped(error, turn, question, content, attached) {
  // The history must not hold a question without an answer.
  if (turn.text.trim() !== "") messages.push({role: "user", content}, {role: "assistant", content: turn.text});
  else giveBack(question, attached);
  if (error === null) {
    turn.end("Stopped.");
    say("Stopped.");
    return;
  }
  if (!(error instanceof ServerError)) console.error(error);
  turn.end(error instanceof ServerError ? error.message : "Something went wrong in this page; the browser's console says what.", true);
  say(error.message);
  watchHealth();
}

function stop() {
  running?.abort("stopped");
}

function beginAnew() {
  running?.abort("forgotten");
  running = null;
  showRunning(false);
  messages = [];
  documents = [];
  pictures = [];
  hideTip();
  showDocuments();
  notice("");
  get("log").replaceChildren();
  get("welcome").hidden = false;
  say("A new conversation begins.");
  get("question").focus();
}

function fitQuestion() {
  const area = get("question");
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
  updateSend();
}

// --- The server ---

let isWatching = false;
async function watchHealth() {
  if (isWatching) return;
  isWatching = true;
  for (let state = await health(); state !== "ok"; state = await health()) {
    isReady = false;
    updateSend();
    notice(state === "loading" ? "The model is loading; this page is ready as soon as it is." : "The server does not answer; trying again.",
      state === "loading");
    await new Promise((done) => { setTimeout(done, 700); });
  }
  isWatching = false;
  if (!isReady) await becomeReady();
}

async function becomeReady() {
  try {
    const props = await properties();
    const settings = props.default_generation_settings ?? {};
    model = {nLayers: props.model?.n_layers ?? 0, nContext: settings.n_ctx ?? 0};
    get("model").textContent = `${props.model_alias}, reads ${number(model.nContext)} tokens`;
    document.title = `${props.model_alias}: lazyfill`;
    if (settings.params?.lazy && messages.length === 0) showLazy(settings.params.lazy);
    notice(props.model?.has_chat_template === false ? "This model's file has no chat template, so it may go on writing instead of answering." : "", true);
  } catch (error) {
    notice(error.message);
    return;
  }
  isReady = true;
  updateSend();
}

function setUpComposer() {
  get("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  get("question").addEventListener("input", fitQuestion);
  get("question").addEventListener("keydown", (event) => {
    // Enter that ends a word in an input method does not send.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
  get("stop").addEventListener("click", stop);
  get("new").addEventListener("click", beginAnew);
  get("lazy").addEventListener("change", () => {
    get("schedule-field").hidden = get("lazy").value !== "schedule";
    if (get("lazy").value === "schedule") get("schedule").focus();
  });
  addEventListener("resize", () => { for (const picture of pictures) picture.drawMap(); });
}

setUpTheme();
setUpDocuments();
setUpComposer();
fitQuestion();
watchHealth();
