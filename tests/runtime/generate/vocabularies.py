"""Small vocabularies for tests of grammars and carets, with tokens that end inside a UTF-8 character."""


class Vocabulary:
    """What TokenIndex and Constraint ask of a tokenizer. Special tokens come first."""

    def __init__(self, tokens, special=("<|eot|>",)):
        self._tokens = [*(s.encode() for s in special), *tokens]
        self.special = {s: i for i, s in enumerate(special)}
        self.vocab_size = len(self._tokens)

    def token_bytes(self, id):
        return self._tokens[id]

    def id(self, token):
        return self._tokens.index(token)
