// Talks to the server: a question and the events of its answer. What goes wrong becomes an error whose message is one
// sentence for a person.
export class ServerError extends Error {}

const number = (value) => Number(value).toLocaleString("en-US");

function sentence(text) {
  const trimmed = String(text).trim();
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(first) ? first : first + ".";
}

function fromError(error, status) {
  if (error?.code === "context_length_exceeded" && error.n_prompt_tokens !== undefined) {
    return new ServerError(`This conversation has ${number(error.n_prompt_tokens)} tokens and the model reads at most ` +
      `${number(error.n_ctx)}: shorten the document, or begin a new conversation.`);
  }
  if (status === 429) return new ServerError("The server is busy with other questions; send this one again in a moment.");
  if (status === 413) return new ServerError("This is more text than the server takes at once; shorten the document.");
  if (error?.message) return new ServerError(sentence(error.message));
  return new ServerError(`The server answered with status ${status} and no explanation.`);
}

async function failure(response) {
  const body = await response.json().catch(() => null);
  return fromError(body?.error, response.status);
}

// The objects of a stream of events, one by one.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const lines = (waiting + value).split("\n");
    waiting = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const text = line.slice(5).trim();
      if (text === "[DONE]") return;
      yield JSON.parse(text);
    }
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, {cache: "no-store", ...options});
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new ServerError("The server does not answer; is it still running?");
  }
}

// "ok", "loading", or "gone" where nothing answers.
export async function health() {
  try {
    const response = await reach("/health");
    if (response.ok) return "ok";
    return response.status === 503 ? "loading" : "gone";
  } catch {
    return "gone";
  }
}

async function json(path, options) {
  const response = await reach(path, options);
  if (!response.ok) throw await failure(response);
  return response.json();
}

export const properties = () => json("/props");

const post = (body) => ({method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});

export const countTokens = async (text) => (await json("/tokenize", post({content: text}))).count;

// Asks, and calls on.progress({total, cache, processed, ...}), on.text(piece), on.thought(piece) as they come. Returns
// {timings, lazy, usage, finishReason}. An aborted signal ends it with that signal's reason.
export async function ask(messages, lazy, signal, on) {
  const body = {messages, stream: true, return_progress: true, return_kept: true, stream_options: {include_usage: true}};
  if (lazy !== "") body.lazy = lazy;
  const response = await reach("/v1/chat/completions", {...post(body), signal});
  if (!response.ok) throw await failure(response);
  const result = {};
  try {
    for await (const event of events(response.body)) {
      if (event.error) throw fromError(event.error, 200);
      if (event.prompt_progress) on.progress(event.prompt_progress);
      const choice = event.choices?.[0];
      if (choice?.delta?.reasoning_content) on.thought(choice.delta.reasoning_content);
      if (choice?.delta?.content) on.text(choice.delta.content);
      if (choice?.finish_reason) result.finishReason = choice.finish_reason;
      for (const name of ["timings", "lazy", "usage"]) if (event[name]) result[name] = event[name];
    }
  } catch (error) {
    if (error instanceof ServerError || signal.aborted) throw error;
    throw new ServerError("The connection broke off before the answer was complete.");
  }
  if (result.finishReason === undefined) throw new ServerError("The answer broke off before it was complete.");
  return result;
}
