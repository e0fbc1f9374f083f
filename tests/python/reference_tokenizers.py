"""Reference tokenisers, built from what a GGUF file holds: Hugging Face's tokenizers for byte-level BPE, sentencepiece for
SentencePiece. And texts on which tokenisers differ when one of them is wrong."""

import random
import unicodedata

import gguf

USER_DEFINED = 4
PIECES = [
    "'s", "'S", "'ll", "'RE", "'ve", " don't", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
    "<end_of_turn>", "<bos>", "<unk>", "<0x41>", "\u2581", "\u2581\u2581", "\u00e9", "e\u0301", "\u65e5\u672c\u8a9e", "\ud55c\uad6d\uc5b4",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u05e2\u05d1\u05e8\u05d9\u05ea", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "123", "4", "\u0663\u0664", "\u00b2", "\u216b", "\u00bd", "\u00a0",
    "\u2003", "\u3000", "\x85", "\u200b", "if(x){", "</ul>", "==", "!!!", "...", "\u2014", "\u017f", "'\u017f", "\x00", "\x7f", "Hello",
    " world", "ing", "foo_bar", "A", "\ufeff", "\u202e",
]
TEXTS = [
    "", "a", " ", "  ", "\n", "The quick brown fox jumps over the lazy dog.", "It's 1984; we'll pay $3,141.59 (or 50%)!",
    "def f(x):\n    if x > 0:\n\t\treturn x ** 2  # square\n    return None\n", "#include <vector>\r\nint main() { return a[0] <= 0x1F; }\r\n",
    "SELECT * FROM t WHERE name LIKE '%o''brien%';", "https://example.org/path?q=a+b&c=d#e", "{\"key\": [1, 2.5e-3, null]}",
    "a\u0301e\u0302 \u1e9b\u0323 Z\u0351\u036b\u0343\u036a\u0302\u036b", "\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u5427\u3002",
    "\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440", "\u0645\u0631\u062d\u0628\u0627 abc \u05e9\u05dc\u05d5\u05dd 123", "\U0001f600\U0001f44d\U0001f3fd \u2764\ufe0f",
    "<|im_start|>user\nHi<|im_end|>\n", "<start_of_turn>user\nHi<end_of_turn>\n<bos></ul><td>", "1234567890 12 3", " leading and trailing  ", "a" * 100,
    "=" * 80, " " * 70 + "x", "\n" * 40, "\t" * 40, "na\u00efve caf\u00e9 \u2018quoted\u2019 \u201cdouble\u201d \u2026",
]


def random_texts(n, seed):
    """Runs of tricky pieces, of characters of every script, and of whitespace. Characters that this Python's Unicode does
    not know are left out: the libraries differ in their versions."""
    rng = random.Random(seed)
    pool = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) not in ("Cn", "Co")]
    texts = []
    for _ in range(n):
        kind, length = rng.random(), rng.randint(1, 30)
        if kind < 0.3:
            texts.append("".join(rng.choices(pool, k=length)))
        elif kind < 0.7:
            texts.append("".join(rng.choices(PIECES, k=length)))
        elif kind < 0.85:
            texts.append("".join(rng.choice(PIECES if rng.random() < 0.7 else pool) for _ in range(length)))
        else:
            texts.append("".join(rng.choices(" '\n\r\tabsS1.<", k=length)))
    return texts


# Bytes around every border of what may follow what in UTF-8 (Unicode, table 3-7).
BORDERS = bytes.fromhex("417f808f909fa0bfc0c1c2dfe0e1ecedeeeff0f1f3f4f5ff")


def broken_texts(n, seed):
    """Bytes that are hardly ever valid UTF-8: by chance, at the borders of its rules, and texts with bytes changed or lost."""
    rng = random.Random(seed)
    good = [piece.encode() for piece in PIECES]
    texts = []
    for _ in range(n):
        kind = rng.random()
        if kind < 0.3:
            texts.append(rng.randbytes(rng.randint(1, 20)))
        elif kind < 0.6:
            texts.append(bytes(rng.choices(BORDERS, k=rng.randint(1, 12))))
        else:
            text = bytearray(b"".join(rng.choices(good, k=rng.randint(1, 8))))
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(text) + 1)
                text[at:at + rng.randint(0, 2)] = rng.choice([b"", rng.randbytes(1), bytes([rng.choice(BORDERS)])])
            texts.append(bytes(text))
    return texts


class Metadata:
    """The fields tokenizer.ggml.* of a file."""

    def __init__(self, path):
        self._fields = gguf.GGUFReader(path).fields
        self._known = {}

    def get(self, name, default=None):
        if name not in self._known:
            field = self._fields.get("tokenizer.ggml." + name)
            self._known[name] = None if field is None else field.contents()
        return default if self._known[name] is None else self._known[name]


CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CAPITALS, SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD = r"[^\r\n\p{L}\p{N}]?"
NO_HAN = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]")
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
ASCII_PUNCTUATION = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"


def llama3(digits):
    return CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES


def cased(suffix, digits):
    lead = r"[^\r\n\p{L}\p{N}]?"
    return (f"{lead}{CAPITALS}*{SMALL}+{suffix}|{lead}{CAPITALS}+{SMALL}*{suffix}|" + digits +
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES)


# The expressions of each family of pre-tokenisers, as the models' own tokenizer.json files have them.
EXPRESSIONS = {
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "llama-bpe": [llama3(r"\p{N}{1,3}")],
    "qwen2": [llama3(r"\p{N}")],
    "stablelm2": [llama3(r"\p{N}")],
    "qwen35": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SPACES],
    "seed-coder": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + SPACES],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"],
    "tekken": [cased("", r"\p{N}")],
    "gpt-4o": [cased(CONTRACTION + "?", r"\p{N}{1,3}")],
    "youtu": ["[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
              "|[\u3105-\u312f]+|" + KANA, cased(CONTRACTION + "?", r"\p{N}")],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", cased(CONTRACTION + "?", r"\p{N}{1,3}")],
    "kimi-k2": [r"[\p{Han}]+|" + LEAD + f"{NO_HAN[0]}*{NO_HAN[1]}+{CONTRACTION}?|{LEAD}{NO_HAN[0]}+{NO_HAN[1]}*{CONTRACTION}?"
                r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "laguna": [r"[^\n]+|[\n]+", llama3(r"\p{N}")],
    "ufakzeka": [r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES],
    "jais-2": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
               + "|".join(rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4, "1,2")) + r"|\s{1}"],
    "exaone-moe": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]"
                   r"|\s+(?!\S)|\s+"],
    "chameleon": ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\t\n]|    |  )", r"\p{N}",
                  r"[\p{P}!-/:-@\[-`{-~]", GPT2],
    "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", KANA, ASCII_PUNCTUATION + r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + SPACES],
    "spark2_5": [r"\p{N}{1,3}", KANA, ASCII_PUNCTUATION + r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+",
                 r"\p{N}"],
    "afmoe": [r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
              "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff"
              "\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+",
              ASCII_PUNCTUATION + r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + SPACES],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
}
WHOLE_WORDS = ("llama-bpe", "tekken", "youtu")
COMPOSED = ("qwen2", "qwen35")


def byte_level_tokenizer(metadata, pre=None):
    """The tokenizers package with the vocabulary of a file; `pre`: another splitter than the file's."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    pre = pre or metadata.get("pre")
    vocabulary = {token: i for i, token in enumerate(metadata.get("tokens"))}
    merges = [tuple(merge.split(" ")) for merge in metadata.get("merges")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=pre in WHOLE_WORDS))
    steps = [pre_tokenizers.Split(Regex(expression), "isolated") for expression in EXPRESSIONS[pre]]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    if pre in COMPOSED:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return tokenizer


def byte_level_bpe(metadata, pre=None):
    """text -> ids."""
    tokenizer = byte_level_tokenizer(metadata, pre)
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def sentencepiece_bpe(metadata, add_space_prefix=None):
    """text -> ids by the sentencepiece package, from a model put together of the file's pieces."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    for token, score, kind in zip(metadata.get("tokens"), metadata.get("scores"), metadata.get("token_type")):
        piece = model.pieces.add()
        piece.piece = token.replace(" ", "\u2581") if kind == USER_DEFINED else token
        piece.score = score
        piece.type = kind
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type = trainer.BPE
    trainer.byte_fallback = True
    trainer.vocab_size = len(model.pieces)
    for name, key in (("unk", "unknown"), ("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        token_id = metadata.get(f"{key}_token_id")
        setattr(trainer, f"{name}_id", token_id)
        setattr(trainer, f"{name}_piece", model.pieces[token_id].piece)
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = metadata.get("add_space_prefix", True) if add_space_prefix is None else add_space_prefix
    normalizer.remove_extra_whitespaces = False
    normalizer.escape_whitespaces = True
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
    return processor.encode
