-- What people search for.
CREATE TABLE print_search (
    print_id BIGINT PRIMARY KEY,
    words    TSVECTOR NOT NULL
);
CREATE INDEX print_search_words ON print_search USING GIN (words);
