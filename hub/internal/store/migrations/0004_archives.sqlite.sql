-- What people search for, without the text itself: the row has it.
CREATE VIRTUAL TABLE print_search USING fts5 (words, content = '', contentless_delete = 1, detail = none, tokenize = "unicode61 remove_diacritics 2", prefix = '1 2 3');
