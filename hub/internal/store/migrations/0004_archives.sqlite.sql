-- What people search for, and what lists filter by as words, so that the index alone
-- finds and counts what both have in common. The text itself is in the row. Words
-- arrive in the form that they are compared in.
CREATE VIRTUAL TABLE print_search USING fts5 (words, filters, content = '', contentless_delete = 1, detail = column, tokenize = 'ascii', prefix = '1 2 3 4 5 6 7 8');
