"""Small vocabularies of every family of tokenisers, trained on the project's own text and written as GGUF files that hold
nothing else; each with the library that trained it as the reference."""

import io
import json
import re
import unicodedata

import gguf

from reference_tokenizers import PIECES, TEXTS

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPACE = "\u2581"


def training_texts(root):
    """English, code and every script of the test texts; files that hardly change, so that the vocabularies do not either."""
    paths = [*(root / "examples").glob("*.txt"), root / "LICENSE", root / "src" / "base" / "half.h", root / "src" / "base" / "checked.h"]
    lines = [line for path in sorted(paths) for line in path.read_text(encoding="utf-8").splitlines()]
    return lines + [line for text in TEXTS + [" ".join(PIECES)] for line in text.splitlines() if "\0" not in line] * 3


class Writer:
    def __init__(self, path, model, **values):
        self._writer = gguf.GGUFWriter(path, "llama")
        self._writer.add_tokenizer_model(model)
        for key, value in values.items():
            name = "tokenizer.ggml." + key
            if isinstance(value, bool):
                self._writer.add_bool(name, value)
            elif isinstance(value, int):
                self._writer.add_uint32(name, value)
            elif isinstance(value, str):
                self._writer.add_string(name, value)
            else:
                self._writer.add_array(name, value)

    def close(self):
        self._writer.write_header_to_file()
        self._writer.write_kv_data_to_file()
        self._writer.close()


def write(path, model, **values):
    Writer(path, model, **values).close()
    return path


def train_sentencepiece(texts, kind, **options):
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=out, model_type=kind, minloglevel=2, num_threads=1,
        hard_vocab_limit=False, max_sentence_length=20000, **options)
    return out.getvalue()


def sentencepiece_file(path, serialized, model, charsmap=True, unused=()):
    """Writes the file as llama.cpp's converter does; returns the reference, which cuts texts at user-defined tokens as
    transformers does. `unused`: ids marked so, which a trainer never does but users of its files do."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(serialized)
    for i in unused:
        proto.pieces[i].type = UNUSED
    added = {piece.piece: i for i, piece in enumerate(proto.pieces) if piece.type == USER_DEFINED}
    between = sentencepiece_model_pb2.ModelProto()
    between.CopyFrom(proto)
    for i in added.values():
        between.pieces[i].type = CONTROL  # never found in a text
    processor = sentencepiece.SentencePieceProcessor(model_proto=between.SerializeToString())
    normalizer = proto.normalizer_spec
    values = {
        "tokens": [piece.piece for piece in proto.pieces],
        "scores": [piece.score for piece in proto.pieces],
        "token_type": [piece.type for piece in proto.pieces],
        "add_space_prefix": normalizer.add_dummy_prefix,
        "remove_extra_whitespaces": normalizer.remove_extra_whitespaces,
        "unknown_token_id": processor.unk_id(), "eos_token_id": processor.eos_id(), "bos_token_id": processor.bos_id(),
        "add_bos_token": False, "add_eos_token": True,
    }
    if charsmap and normalizer.precompiled_charsmap:
        values["precompiled_charsmap"] = list(normalizer.precompiled_charsmap)
    write(path, model, **values)
    return cut_at(added, processor.encode)


def cut_at(added, encode):
    """transformers' legacy tokeniser, and llama.cpp: what a GGUF file calls user-defined are transformers' added tokens. They
    are cut out of the text first, the leftmost and of those the longest; every part between them is encoded as a text of its
    own, with a space of its own in front. A space is U+2581 to them, as it is to sentencepiece."""
    if not added:
        return encode
    spellings = sorted(map(re.escape, added), key=len, reverse=True)
    tokens = re.compile("(" + "|".join(spelling.replace(SPACE, f"[ {SPACE}]") for spelling in spellings) + ")")

    def encode_parts(text):
        parts = [part for part in tokens.split(text) if part]
        return [i for part in parts for i in ([added[part.replace(" ", SPACE)]] if tokens.fullmatch(part) else encode(part))]

    return encode_parts


def added_tokens_tokenizer(serialized):
    """The tokenizers package with a BPE model of sentencepiece and its user-defined pieces as added tokens, put together as
    transformers converts the legacy form of Llama's."""
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import AddedToken, Tokenizer, models, normalizers

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(serialized)
    ids = {piece.piece: i for i, piece in enumerate(proto.pieces)}
    merges = []
    for piece in proto.pieces:
        if piece.type == NORMAL:
            halves = [(piece.piece[:n], piece.piece[n:]) for n in range(1, len(piece.piece))]
            merges += sorted((pair for pair in halves if pair[0] in ids and pair[1] in ids), key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.add_tokens([AddedToken(piece.piece, normalized=False) for piece in proto.pieces if piece.type == USER_DEFINED])
    return tokenizer


def unigram_tokenizer(serialized):
    """The tokenizers package with a unigram model of sentencepiece, put together as transformers converts one."""
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(serialized)
    tokenizer = Tokenizer(models.Unigram([(piece.piece, piece.score) for piece in proto.pieces], proto.trainer_spec.unk_id,
                                         proto.trainer_spec.byte_fallback))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Strip(),
        normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    return tokenizer


def wordpiece_tokenizer(path, texts, lowercase):
    """Writes the file as llama.cpp's converter does; returns the reference."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(
        vocab_size=4000, special_tokens=specials, show_progress=False, continuing_subword_prefix="##"))
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    written = [token if token in specials else token[2:] if token.startswith("##") else SPACE + token for token in tokens]
    write(path, "bert", tokens=written, token_type=[CONTROL if token in specials else NORMAL for token in tokens],
          unknown_token_id=1, cls_token_id=2, seperator_token_id=3, **{"normalizer.lowercase": lowercase})
    # Without the special tokens among its added ones the reference takes them for text, as programs do that get text.
    plain = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token="[UNK]"))
    plain.normalizer, plain.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    return plain


def wordpiece_file(path, texts, lowercase):
    tokenizer = wordpiece_tokenizer(path, texts, lowercase)
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def plain_bpe_file(path, texts):
    """Gemma 4's form: BPE from characters, SentencePiece's mark for spaces, single bytes for the rest."""
    from tokenizers import Tokenizer, models, normalizers, trainers

    specials = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    texts = [text for text in texts if not any(special in text for special in ("<bos>", "<eos>", "<pad>", "<unk>", "<0x"))]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=3000, special_tokens=specials, show_progress=False))
    state = json.loads(tokenizer.to_str())
    vocabulary, merges = state["model"]["vocab"], [tuple(merge) for merge in state["model"]["merges"]]
    # Trained so, the byte tokens would be found in texts as they are written.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokens = sorted(vocabulary, key=vocabulary.get)
    types = [CONTROL] * 3 + [UNKNOWN] + [BYTE] * 256 + [NORMAL] * (len(tokens) - 260)
    write(path, "gemma4", tokens=tokens, token_type=types, merges=[" ".join(merge) for merge in merges], bos_token_id=2,
          eos_token_id=1, unknown_token_id=3)
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def in_unicode_3(text):
    """Without the characters that have not had their category since Unicode 3.2: the tables of BERT's reference are old."""
    old = unicodedata.ucd_3_2_0
    return "".join(c for c in text if old.category(c) == unicodedata.category(c))
