"""SQL as people write it: a list of forms that matter, and a generator of variants.

The generator knows tables and columns and little of SQL's rules: what a database refuses is left out, and what it
accepts it judges itself.
"""

# ruff: noqa: E501 (a statement is read best on one line)

from __future__ import annotations

import random

from tests.integration.attribution import library

_ANY = """
SELECT title FROM book
SELECT TITLE FROM BOOK
select "title" from "book" where "status" = 'x'
SELECT b.title FROM book b
SELECT b.pages FROM book AS b
SELECT book.pages FROM book
SELECT * FROM book
SELECT b.* FROM book b
SELECT a.* FROM author a JOIN book b ON b.author_id = a.id
SELECT b.*, a.name FROM author a JOIN book b ON b.author_id = a.id
SELECT a.id, * FROM author a JOIN book b ON b.author_id = a.id
SELECT COUNT(*) FROM book
SELECT COUNT( * ) FROM book b WHERE b.pages * 2 > 1
SELECT pages * 2 FROM book
SELECT COUNT(b.status) FROM book b
SELECT COUNT(DISTINCT status) FROM book
SELECT 'title' FROM book
SELECT 'SELECT status FROM book' AS x FROM book
SELECT pages /* status */ FROM book -- title
SELECT pages FROM book -- it's title
SELECT /* it's */ pages FROM book
SELECT 'it''s status' FROM book
SELECT pages AS status FROM book
SELECT pages AS status FROM book ORDER BY status
SELECT pages AS status FROM book ORDER BY status DESC, id
SELECT b.pages status FROM book b
SELECT name FROM author WHERE id IN (SELECT author_id FROM book)
SELECT pages FROM book WHERE author_id IN (SELECT id FROM author WHERE email = 'x')
SELECT pages FROM book WHERE author_id IN (SELECT a.id FROM author a WHERE a.name = 'x')
SELECT pages FROM book b WHERE EXISTS (SELECT 1 FROM review r WHERE r.book_id = b.id AND r.status = 'x')
SELECT pages FROM book b WHERE EXISTS (SELECT 1 FROM review b WHERE b.status = 'x')
SELECT pages FROM book b WHERE EXISTS (SELECT 1 FROM review r WHERE r.status = b.status)
SELECT u.name FROM author u WHERE EXISTS (SELECT 1 FROM book u WHERE u.pages = 1)
SELECT u.title FROM chapter u WHERE EXISTS (SELECT 1 FROM book u WHERE u.pages = 1)
SELECT s.title FROM (SELECT id, pages AS title FROM book) s
SELECT s.title FROM (SELECT * FROM book) s
SELECT title FROM (SELECT * FROM book) s
SELECT s.id FROM (SELECT * FROM book) s
SELECT s.id FROM (SELECT id FROM book) s
SELECT s.n FROM (SELECT title AS n FROM book) s
SELECT title FROM (SELECT title FROM chapter) c JOIN (SELECT id FROM book) b ON 1 = 1
SELECT c.title FROM chapter c JOIN book b ON c.book_id = b.id
SELECT c.title FROM chapter c, book b WHERE c.book_id = b.id
SELECT c.title FROM book b, chapter c WHERE c.book_id = b.id AND b.pages = 1
SELECT c.number FROM book b INNER JOIN chapter c ON c.book_id = b.id WHERE b.title = 'x'
SELECT c.number FROM book b LEFT OUTER JOIN chapter c ON c.book_id = b.id AND c.title = b.title
SELECT c.number FROM chapter c CROSS JOIN book
SELECT x.number FROM (chapter x JOIN book y ON x.book_id = y.id)
SELECT x.title FROM (chapter x JOIN book y ON x.book_id = y.id)
SELECT y.title FROM (chapter x JOIN book y ON x.book_id = y.id) WHERE x.number = 1
SELECT * FROM (chapter x JOIN book y ON x.book_id = y.id)
SELECT id FROM book UNION SELECT id FROM chapter
SELECT id FROM book UNION SELECT title FROM chapter
SELECT title FROM book UNION SELECT name FROM author ORDER BY title
SELECT id FROM book UNION ALL SELECT number FROM chapter ORDER BY id LIMIT 3
SELECT * FROM chapter UNION ALL SELECT id, id, 'x', 1, 'y' FROM book
WITH b AS (SELECT id FROM book) SELECT * FROM b
WITH b AS (SELECT title FROM book) SELECT 1 FROM b
WITH b AS (SELECT * FROM book) SELECT id FROM b
WITH b AS (SELECT * FROM book) SELECT title FROM b
WITH book AS (SELECT id, name AS title FROM author) SELECT title FROM book
WITH book AS (SELECT id, name AS title FROM author) SELECT b.title FROM book b
WITH x AS (SELECT id FROM book), book AS (SELECT 1 AS title) SELECT title FROM book, x
WITH x AS (SELECT title FROM chapter) SELECT b.pages FROM book b, x
WITH x(title) AS (SELECT id FROM book) SELECT title FROM x
WITH x(a, b) AS (SELECT id, title FROM book) SELECT a FROM x
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT n, b.pages FROM t, book b
WITH RECURSIVE t(n) AS (SELECT mentor_id FROM author UNION ALL SELECT a.mentor_id FROM author a JOIN t ON t.n = a.id) SELECT n FROM t
SELECT CASE WHEN status = 'x' THEN 1 ELSE 0 END FROM book
SELECT CASE WHEN pages = 1 THEN 'status' ELSE 'title' END FROM book
SELECT MAX(title) FROM book GROUP BY pages
SELECT pages FROM book GROUP BY pages, status
SELECT pages FROM book GROUP BY pages HAVING MAX(title) > 'x'
SELECT pages FROM book ORDER BY title
SELECT pages FROM book ORDER BY UPPER(title)
SELECT pages FROM book WHERE status IS NULL OR NOT (title IN ('a', 'b'))
SELECT pages FROM book WHERE pages BETWEEN 1 AND 2 AND id IN (1, 2, 3)
SELECT SUM(pages) OVER (PARTITION BY status) FROM book
SELECT SUM(pages) OVER (PARTITION BY author_id ORDER BY title) FROM book
SELECT SUM(pages) OVER (PARTITION BY author_id ORDER BY id ROWS UNBOUNDED PRECEDING) FROM book
SELECT SUM(pages) OVER w FROM book WINDOW w AS (PARTITION BY status)
SELECT SUM(pages) OVER status FROM book WINDOW status AS (PARTITION BY pages)
SELECT (SELECT title FROM book WHERE id = 1) FROM author
SELECT (SELECT COUNT(*) FROM book) FROM author
SELECT (SELECT name FROM author WHERE id = b.author_id) FROM book b
SELECT (SELECT a.name FROM author a WHERE a.id = b.author_id) FROM book b
SELECT id FROM tag WHERE slug = 'name'
SELECT id FROM tag WHERE name LIKE 'slug%'
SELECT book FROM book_note
SELECT book, note FROM book_note WHERE book = 1
SELECT n.book FROM book_note n JOIN book b ON n.book = b.id
SELECT book_note.status FROM book_note JOIN book ON book.id = book_note.book
SELECT genre FROM novel
SELECT n.genre, b.pages FROM novel n JOIN book b ON b.id = n.book_ptr_id
INSERT INTO tag (name, slug) VALUES ('a', 'b')
INSERT INTO tag (name, slug) SELECT title, pages FROM book
INSERT INTO tag (name, slug) SELECT name, email FROM author
INSERT INTO book_tags (book_id, tag_id) SELECT b.id, t.id FROM book b, tag t WHERE t.name = 'x'
INSERT INTO book_note (book, note) SELECT id, title FROM chapter
INSERT INTO book_note (book, note) SELECT id, email FROM author WHERE name = 'status'
INSERT INTO tag SELECT 9, 'a', 'b'
INSERT INTO tag VALUES (9, 'a', 'b')
UPDATE book SET pages = 1
UPDATE book SET status = 'x'
UPDATE book SET pages = pages + 1 WHERE title = 'x'
UPDATE book SET status = title, title = status
UPDATE book SET pages = (SELECT COUNT(*) FROM review WHERE book_id = book.id)
UPDATE book SET pages = (SELECT MAX(number) FROM chapter c WHERE c.book_id = book.id AND c.title = 'status')
UPDATE chapter SET title = 'x' WHERE book_id IN (SELECT id FROM book)
UPDATE chapter SET title = 'x' WHERE book_id IN (SELECT id FROM book WHERE pages = 1)
UPDATE chapter SET number = 2 WHERE book_id IN (SELECT b.id FROM book b WHERE b.title = 'x')
DELETE FROM book
DELETE FROM book WHERE pages = 1
DELETE FROM book WHERE status = 'x'
DELETE FROM chapter WHERE book_id IN (SELECT id FROM book WHERE pages > 1)
DELETE FROM chapter WHERE title = 'x' AND book_id IN (SELECT id FROM book)
EXPLAIN SELECT pages FROM book
EXPLAIN SELECT title FROM book
"""

_DOUBLE_QUOTES = """
SELECT "b"."title" FROM "book" AS "b"
SELECT "pages" FROM "book" WHERE "book"."status" = 'status'
SELECT "group" FROM "order"
SELECT plain FROM "order" ORDER BY id DESC
SELECT "desc" FROM "order"
SELECT "has space" FROM "order" WHERE plain = 1
SELECT "année" FROM "order"
SELECT o.plain FROM "order" o WHERE o."group" = 'x'
INSERT INTO "order" ("has space", plain) VALUES ('a', 1)
UPDATE "order" SET plain = 2 WHERE "année" = 'x'
INSERT INTO tag (name, slug) VALUES ('a', 't') ON CONFLICT (slug) DO NOTHING
INSERT INTO tag (name, slug) VALUES ('a', 't') ON CONFLICT (slug) DO UPDATE SET name = excluded.name
INSERT INTO tag AS g (name, slug) VALUES ('a', 't') ON CONFLICT (slug) DO UPDATE SET name = excluded.name || g.name
INSERT INTO author (email, name, active) VALUES ('e', 'n', true) ON CONFLICT DO NOTHING
INSERT INTO author (email, name, active) VALUES ('e', 'n', true) ON CONFLICT (email) DO UPDATE SET active = false
INSERT INTO author (email, name, active) VALUES ('e', 'n', true) RETURNING id
INSERT INTO book_note (book, note) VALUES (1, 'x') RETURNING *
INSERT INTO book_note (book, note) VALUES (1, 'x') RETURNING status
INSERT INTO tag DEFAULT VALUES
UPDATE book SET pages = 1 RETURNING id
UPDATE book SET pages = 1 RETURNING title
UPDATE book SET pages = 1 RETURNING *
UPDATE book SET (pages, status) = (1, 'x')
UPDATE book SET (pages, price) = (1, 2)
UPDATE book SET (pages, price) = (SELECT number, id FROM chapter WHERE title = 'x')
UPDATE book SET pages = c.number FROM chapter c WHERE c.book_id = book.id
UPDATE book SET pages = c.number FROM chapter c WHERE c.book_id = book.id AND c.title = 'x'
UPDATE book SET title = c.title FROM chapter c WHERE c.book_id = book.id
UPDATE book AS b SET pages = c.number FROM chapter c WHERE c.title = b.title
UPDATE chapter SET title = 'x' FROM book b WHERE b.id = chapter.book_id
UPDATE chapter AS c SET number = 1 FROM (SELECT id, title FROM book) s WHERE s.id = c.book_id
DELETE FROM book RETURNING id
DELETE FROM book RETURNING *
DELETE FROM book RETURNING title
SELECT b.pages FROM book b JOIN (SELECT title FROM chapter) c ON 1 = 1
SELECT count(*) FILTER (WHERE status = 'x') FROM book
SELECT count(*) FILTER (WHERE pages = 1) FROM book
SELECT x.column1 FROM (VALUES (1), (2)) AS x JOIN book b ON b.id = x.column1
WITH n AS (SELECT pages FROM book) INSERT INTO book_note (book, note) SELECT pages, 'x' FROM n
WITH n AS (SELECT title FROM book) UPDATE chapter SET number = 1 WHERE title IN (SELECT title FROM n)
WITH n AS (SELECT id FROM book) DELETE FROM chapter WHERE book_id IN (SELECT id FROM n)
SELECT pages FROM book WHERE (id, pages) IN (SELECT id, number FROM chapter)
SELECT pages IS DISTINCT FROM 1 FROM book
SELECT pages FROM book WHERE author_id IS NOT DISTINCT FROM 1 AND status = 'x'
"""

_POSTGRESQL = """
SELECT number FROM chapter c JOIN review r USING (status) JOIN book b ON b.id = c.book_id
SELECT number FROM chapter JOIN book USING (status)
SELECT number FROM chapter JOIN book USING (id)
SELECT number FROM chapter NATURAL JOIN book
TABLE book
TABLE tag LIMIT 1
SELECT * FROM (TABLE book) s
SELECT EXISTS (TABLE book)
SELECT book FROM book
SELECT b FROM book b
SELECT (b).pages FROM book b
SELECT (b).title FROM book b
SELECT (b).* FROM book b
SELECT (b.*) IS NULL FROM book b
SELECT row_to_json(b) FROM book b
SELECT b.row_to_json FROM book b
SELECT to_jsonb(b.*) FROM book b
SELECT COUNT(b) FROM book b
SELECT COUNT(b.*) FROM book b
SELECT title(b) FROM book b
SELECT pages(b) FROM book b
SELECT array_agg(b) FROM book b
SELECT array_agg(b.pages ORDER BY b.title) FROM book b
SELECT array_agg(b.pages ORDER BY b.id) FROM book b
SELECT b::text FROM book b
SELECT ROW(b.*) FROM book b
SELECT jsonb_build_object('title', pages) FROM book
SELECT jsonb_build_object('x', title) FROM book
SELECT x.b FROM book AS x(a, b, c, d)
SELECT j.pages FROM (book b JOIN (SELECT id AS i FROM chapter) c ON b.id = c.i) AS j
SELECT j.title FROM (book b JOIN (SELECT id AS i FROM chapter) c ON b.id = c.i) AS j
SELECT j FROM (book b JOIN (SELECT id AS i FROM chapter) c ON b.id = c.i) AS j
SELECT s.title FROM (SELECT id FROM book) AS s(title)
SELECT public.book.title FROM public.book
SELECT public.book.pages FROM public.book
SELECT book.title FROM public.book
SELECT pages FROM public.book WHERE "public"."book"."status" = 'x'
SELECT $$ title of book $$, pages FROM book
SELECT $x$ it's title $x$, pages FROM book
SELECT E'it\\'s title', pages FROM book
SELECT U&'\\0061 title', pages FROM book
SELECT U&"\\0074itle" FROM book
SELECT pages FROM book /* outer /* title */ status */
SELECT pages FROM ONLY book
SELECT pages FROM ONLY (book)
SELECT title FROM ONLY (book)
SELECT pages FROM book * WHERE id = 1
SELECT b.pages, r.status FROM book b, LATERAL (SELECT status FROM review WHERE book_id = b.id) r
SELECT b.pages FROM book b, LATERAL (SELECT rating FROM review WHERE rating = b.pages) r
SELECT b.pages FROM book b JOIN LATERAL (SELECT rating FROM review r WHERE r.body = b.title) r ON true
SELECT b.pages FROM book b CROSS JOIN LATERAL jsonb_each(b.data) j
SELECT b.pages, u.x FROM book b, unnest(ARRAY[1, 2]) AS u(x)
SELECT b.pages, t FROM book b, unnest(ARRAY['title', 'status']) AS t
SELECT b.pages FROM book b, jsonb_to_record(b.data) AS x(status text, title text)
SELECT b.pages FROM book b, jsonb_to_record('{}') AS x(status text, title text)
SELECT x.status FROM chapter b, jsonb_to_record('{}') AS x(status text)
SELECT b.pages, n FROM book b, generate_series(1, b.pages) WITH ORDINALITY AS g(x, n)
SELECT b.pages FROM ROWS FROM (generate_series(1, 2), generate_series(1, 3)) AS g(x, y), book b
SELECT DISTINCT ON (author_id) pages FROM book
SELECT DISTINCT ON (author_id) title FROM book
SELECT DISTINCT ON (status) pages FROM book
SELECT DISTINCT ON (author_id) * FROM book
SELECT pages FROM book FOR UPDATE
SELECT b.pages FROM book b JOIN author a ON a.id = b.author_id FOR UPDATE OF b
SELECT b.pages FROM book b JOIN author a ON a.id = b.author_id FOR NO KEY UPDATE OF a, b SKIP LOCKED
SELECT pages FROM book ORDER BY title USING <
SELECT EXTRACT(year FROM published) FROM book
SELECT TRIM(BOTH 'x' FROM title) FROM book
SELECT SUBSTRING(title FROM 1 FOR 2) FROM book
SELECT OVERLAY('abc' PLACING 'x' FROM pages) FROM book
SELECT POSITION('x' IN title) FROM book
SELECT CAST(pages AS text) FROM book
SELECT pages::text AS title FROM book
SELECT title::text FROM book
SELECT pages AT TIME ZONE 'UTC' FROM (SELECT now() AS pages) s, book
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY pages) FROM book
SELECT mode() WITHIN GROUP (ORDER BY title) FROM book
SELECT mode() WITHIN GROUP (ORDER BY pages), b.* FROM book b GROUP BY b.id
SELECT pages FROM book GROUP BY GROUPING SETS ((pages), (pages, author_id))
SELECT pages FROM book GROUP BY ROLLUP (pages, status)
SELECT pages FROM book FETCH FIRST 3 ROWS ONLY
SELECT pages FROM book OFFSET 1
SELECT data -> 'status' FROM book
SELECT id FROM book WHERE pages = ANY (ARRAY(SELECT rating FROM review))
SELECT id FROM book WHERE title = ANY ('{a,b}')
SELECT id FROM book WHERE title ~* 'x' COLLATE "C"
SELECT id FROM book TABLESAMPLE SYSTEM (10)
SELECT title FROM book b TABLESAMPLE SYSTEM (10) WHERE b.pages = 1
MERGE INTO book b USING chapter c ON b.id = c.book_id WHEN MATCHED THEN UPDATE SET pages = c.number
MERGE INTO book b USING chapter c ON b.id = c.book_id WHEN MATCHED THEN UPDATE SET title = c.title
MERGE INTO book b USING chapter c ON b.title = c.title WHEN MATCHED THEN DELETE
MERGE INTO tag USING (SELECT id, email FROM author) a ON tag.id = a.id WHEN NOT MATCHED THEN INSERT (id, name) VALUES (a.id, a.email)
MERGE INTO tag USING author a ON tag.id = a.id WHEN NOT MATCHED THEN INSERT VALUES (9, 'a', 'b') WHEN MATCHED THEN DO NOTHING
MERGE INTO tag t USING author a ON t.id = a.id WHEN MATCHED AND CASE WHEN a.id = 1 THEN true ELSE false END THEN UPDATE SET name = CASE WHEN a.id = 1 THEN 'x' END, slug = 'y'
INSERT INTO tag (name, slug) VALUES ('a', 'b') ON CONFLICT ON CONSTRAINT tag_slug_key DO NOTHING
INSERT INTO tag (name, slug) TABLE nothing
INSERT INTO tag (SELECT 9, 'a', 'b')
INSERT INTO tag (name, slug) (SELECT title, pages::text FROM book)
INSERT INTO tag (name, slug) WITH x AS (SELECT name, email FROM author) SELECT name, email FROM x
INSERT INTO tag OVERRIDING SYSTEM VALUE VALUES (9, 'a', 'b')
WITH gone AS (DELETE FROM chapter RETURNING title) SELECT b.pages FROM book b
WITH gone AS (DELETE FROM book RETURNING id) SELECT id FROM gone
WITH gone AS (DELETE FROM book RETURNING *) SELECT id FROM gone
WITH gone AS MATERIALIZED (SELECT id FROM book) SELECT * FROM gone
WITH up AS (UPDATE book SET pages = 1 RETURNING id) INSERT INTO book_note (book, note) SELECT id, 'x' FROM up
WITH RECURSIVE t AS (SELECT id, mentor_id FROM author UNION SELECT a.id, a.mentor_id FROM author a JOIN t ON a.id = t.mentor_id) SEARCH DEPTH FIRST BY id SET ordered SELECT * FROM t
DELETE FROM chapter USING book WHERE book.id = chapter.book_id
DELETE FROM chapter USING book b WHERE b.title = chapter.title
DELETE FROM chapter c USING book b JOIN author a ON a.id = b.author_id WHERE b.id = c.book_id AND a.name = 'x'
DELETE FROM chapter c USING (SELECT id FROM book) b WHERE b.id = c.book_id
DELETE FROM chapter c USING book b JOIN author a USING (id) WHERE c.book_id = b.id
SELECT pages FROM book WHERE id IN (VALUES (1), (2))
SELECT f.pages FROM (SELECT pages, title FROM book) f
SELECT num_nulls(b.title, b.pages) FROM book b
SELECT string_agg(t.name, ',' ORDER BY t.id) FROM tag t
SELECT (SELECT b FROM book b LIMIT 1) IS NULL
SELECT (ARRAY(SELECT b FROM book b))[1]
SELECT x.status FROM book b CROSS JOIN (SELECT status FROM review) x
SELECT json_agg(x) FROM (SELECT id, pages FROM book) x
SELECT json_agg(x) FROM (SELECT id, title FROM book) x
SELECT json_agg(x) FROM (SELECT * FROM book) x
SELECT a.name AS title, b.pages FROM author a JOIN book b ON a.id = b.author_id ORDER BY title
SELECT a.name AS title FROM author a JOIN book b ON a.id = b.author_id GROUP BY title, a.name
SELECT count(*) AS status FROM book HAVING count(*) > 1 ORDER BY status
SELECT 1 AS one, 2 two, book.pages "status" FROM book
SELECT pages FROM book WHERE NOT EXISTS (SELECT FROM review WHERE review.book_id = book.id)
SELECT pages FROM book b WHERE b.id = (SELECT max(book_id) FROM chapter WHERE title = 'x')
SELECT lower(title) COLLATE "C" FROM chapter WHERE book_id = 1
SELECT b.pages FROM book b NATURAL JOIN (SELECT id FROM chapter) c
SELECT c.id FROM (SELECT id FROM book) b NATURAL JOIN (SELECT id FROM chapter) c
SELECT b.pages FROM book b JOIN (SELECT book_id, count(*) AS n FROM review WHERE status = 'x' GROUP BY book_id) r ON r.book_id = b.id
SELECT b.pages FROM book b LEFT JOIN (SELECT book_id, max(title) AS title FROM chapter GROUP BY book_id) c ON c.book_id = b.id WHERE c.title = 'x'
"""

_SQLITE = """
SELECT [title] FROM [book]
SELECT `title` FROM `book`
SELECT [b].[pages] FROM [book] AS [b]
SELECT b.'title' FROM 'book' b
SELECT 'book'.'title' FROM book
SELECT pages FROM 'book'
SELECT main.book.title FROM main.book
SELECT main.book.pages FROM main.book
SELECT title FROM main.book
SELECT title FROM book INDEXED BY sqlite_autoindex_book_1
SELECT pages FROM book NOT INDEXED
SELECT "pages" FROM "book" WHERE pages == 1 AND status GLOB 'x*'
SELECT pages FROM book WHERE pages IN (SELECT number FROM chapter WHERE title = 'x')
SELECT j.value FROM book b, json_each(b.data) j
SELECT j.value FROM book b, json_each('[1]') j
INSERT OR REPLACE INTO tag (id, name) VALUES (1, 'x')
REPLACE INTO tag (id, slug) VALUES (1, 'x')
REPLACE INTO tag VALUES (1, 'x', 'y')
INSERT OR IGNORE INTO tag (id) VALUES (1)
UPDATE OR IGNORE book SET pages = 1
UPDATE OR REPLACE book SET title = 'x'
UPDATE 'book' SET 'title' = 'x'
SELECT desc FROM "order"
SELECT plain FROM "order" ORDER BY desc
SELECT plain FROM "order" ORDER BY plain DESC
SELECT pages FROM book LIMIT 1, 2
SELECT group_concat(title) FROM book
SELECT pages FROM book /* never closed: title
VALUES (1), ((SELECT title FROM book))
VALUES (1), ((SELECT pages FROM book))
SELECT rowid FROM book
SELECT pages AS status FROM book WHERE status = 1
SELECT title AS t FROM book WHERE t = 'x'
SELECT * FROM chapter c WHERE c.book_id IN (SELECT id FROM book WHERE status = 'x')
SELECT count(*) FROM book WHERE data ->> 'title' = 'x'
SELECT pages FROM book ORDER BY title COLLATE NOCASE
"""

_MYSQL = """
SELECT `title` FROM `book`
SELECT b.`pages` FROM `book` AS b
SELECT "title" FROM book
SELECT pages FROM book # title
SELECT pages FROM book -- title
SELECT pages--1 FROM book
SELECT 'it\\'s title', pages FROM book
SELECT "it's title", pages FROM book
SELECT STRAIGHT_JOIN b.pages FROM book b JOIN chapter c ON c.book_id = b.id
SELECT b.pages FROM book b STRAIGHT_JOIN chapter c ON c.title = b.title
SELECT SQL_NO_CACHE * FROM book
SELECT SQL_NO_CACHE pages FROM book
SELECT pages FROM book USE INDEX (PRIMARY) WHERE id = 1
SELECT b.pages FROM book b USE INDEX FOR JOIN (PRIMARY), chapter c WHERE c.title = 'x'
SELECT c.number FROM chapter c FORCE INDEX FOR ORDER BY (PRIMARY), book b WHERE b.title = 'x'
SELECT pages FROM book LIMIT 1, 2
SELECT pages FROM book FOR UPDATE
SELECT pages FROM book LOCK IN SHARE MODE
SELECT title REGEXP 'x' FROM book
SELECT pages DIV 2 FROM book
SELECT DATE_ADD(published, INTERVAL 1 DAY) FROM book
SELECT GROUP_CONCAT(title ORDER BY pages SEPARATOR ',') FROM book
SELECT GROUP_CONCAT(pages ORDER BY title SEPARATOR ',') FROM book
SELECT CONVERT(title USING utf8mb4) FROM book
SELECT CONVERT(pages, CHAR) FROM book
SELECT IF(pages = 1, 'title', 'status') FROM book
SELECT IF(status = 'x', 1, 2) FROM book
SELECT pages FROM book HAVING pages > 1
SELECT pages AS status FROM book HAVING status > 1
SELECT JSON_EXTRACT(data, '$.title') FROM book
SELECT DISTINCTROW pages FROM book
SELECT pages FROM book PROCEDURE ANALYSE()
INSERT INTO tag SET name = 'a', slug = 'b'
INSERT INTO tag SET id = 9
INSERT tag (name) VALUES ('a')
INSERT IGNORE INTO tag (id) VALUES (9)
INSERT INTO tag () VALUES ()
INSERT INTO tag (id, name) VALUES (1, 'a') ON DUPLICATE KEY UPDATE name = VALUES(name)
INSERT INTO tag (id) VALUES (1) ON DUPLICATE KEY UPDATE slug = 'x'
INSERT INTO tag (id) VALUES (1) ON DUPLICATE KEY UPDATE id = id
INSERT INTO book_note (book) SELECT b.id FROM book b ON DUPLICATE KEY UPDATE note = b.title
INSERT INTO book_note (book) SELECT b.id FROM book b ON DUPLICATE KEY UPDATE note = 'title'
REPLACE INTO tag (id, name) VALUES (1, 'x')
REPLACE tag SET id = 1, slug = 'x'
UPDATE book b JOIN chapter c ON c.book_id = b.id SET b.pages = c.number
UPDATE book b JOIN chapter c ON c.book_id = b.id SET b.title = c.title
UPDATE book b JOIN chapter c ON c.book_id = b.id SET c.number = 1 WHERE b.status = 'x'
UPDATE book b, chapter c SET c.title = 'x' WHERE c.book_id = b.id
UPDATE book b, chapter c SET number = 2 WHERE c.book_id = b.id AND b.pages = 1
UPDATE LOW_PRIORITY IGNORE book SET pages = 1 ORDER BY title LIMIT 1
UPDATE book SET book.pages = 1, book.title = 'x'
DELETE FROM book ORDER BY title LIMIT 1
DELETE FROM book ORDER BY id LIMIT 1
DELETE c FROM chapter c JOIN book b ON b.id = c.book_id
DELETE FROM c USING chapter c JOIN book b ON b.id = c.book_id
DELETE QUICK FROM chapter WHERE title = 'x'
DELETE FROM book WHERE id = 1 RETURNING id
DELETE FROM book WHERE id = 1 RETURNING title
SELECT b.pages FROM (book b, chapter c) WHERE c.title = 'x'
SELECT `group` FROM `order`
SELECT plain FROM `order` ORDER BY plain DESC
SELECT `has space`, `année` FROM `order`
SELECT TIMESTAMPDIFF(MONTH, published, NOW()) FROM book
SELECT pages FROM book WHERE title = "status"
SELECT @title := pages FROM book
SELECT pages FROM book WHERE pages = @status
"""

_MORE_ANY = """
SELECT CASE pages WHEN 1 THEN title ELSE status END FROM book
SELECT CASE b.pages WHEN 1 THEN 'title' END AS status FROM book b
SELECT NULLIF(title, ''), COALESCE(status, 'x') FROM book
SELECT ALL pages FROM book
SELECT COUNT(DISTINCT author_id) FROM book WHERE title LIKE 'a!%' ESCAPE '!'
SELECT b.pages FROM book b WHERE (b.pages, b.status) = (1, 'x')
SELECT b.pages FROM book b WHERE (b.pages, b.id) IN (SELECT c.number, c.id FROM chapter c)
SELECT pages FROM book EXCEPT SELECT number FROM chapter WHERE title = 'x'
SELECT pages FROM book INTERSECT SELECT rating FROM review
SELECT a.name FROM author a LEFT JOIN author m ON m.id = a.mentor_id
SELECT a.email FROM author a LEFT JOIN author m ON m.email = a.email WHERE m.name = 'x'
SELECT a.email FROM author a RIGHT JOIN book b ON b.author_id = a.id
SELECT t.total FROM (SELECT author_id, SUM(pages) AS total FROM book GROUP BY author_id) t JOIN author a ON a.id = t.author_id
SELECT t.total FROM (SELECT author_id, COUNT(title) AS total FROM book GROUP BY author_id HAVING COUNT(*) > 1) t
SELECT x.status FROM (SELECT b.status FROM book b UNION SELECT r.status FROM review r) x
SELECT x.s FROM (SELECT b.pages AS s FROM book b UNION ALL SELECT r.rating FROM review r) x
SELECT ROW_NUMBER() OVER (ORDER BY title) FROM book
SELECT LAG(pages, 1) OVER (PARTITION BY author_id ORDER BY id) FROM book
SELECT FIRST_VALUE(status) OVER (PARTITION BY author_id ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM book
SELECT SUM(pages) OVER (w ORDER BY title) FROM book WINDOW w AS (PARTITION BY author_id)
SELECT 1 FROM book WHERE NOT EXISTS (SELECT * FROM chapter WHERE chapter.book_id = book.id)
SELECT 1 FROM book WHERE EXISTS (SELECT 1 FROM chapter c WHERE c.title = title)
SELECT 1 FROM author WHERE EXISTS (SELECT 1 FROM book WHERE author_id = author.id AND name = 'x')
SELECT 1 FROM publisher WHERE id IN (SELECT publisher_id FROM book)
SELECT 1 FROM publisher WHERE id IN (SELECT b.publisher_id FROM book b WHERE b.pages > (SELECT AVG(pages) FROM book))
SELECT (SELECT COUNT(*) FROM review r WHERE r.book_id = b.id AND r.rating > b.pages) AS title FROM book b
SELECT MAX(CASE WHEN r.status = 'x' THEN r.rating END) FROM review r
SELECT b.id FROM book b ORDER BY (SELECT COUNT(*) FROM chapter c WHERE c.book_id = b.id)
SELECT b.id FROM book b ORDER BY (SELECT MAX(c.title) FROM chapter c WHERE c.book_id = b.id)
SELECT b.id FROM book b ORDER BY CASE WHEN b.status = 'x' THEN 0 ELSE 1 END
SELECT b.pages FROM book b GROUP BY b.pages, b.status HAVING b.status > 'a'
SELECT book.pages FROM book, author WHERE book.author_id = author.id AND author.name LIKE 'x%'
SELECT b1.pages FROM book b1 JOIN book b2 ON b1.id = b2.id AND b2.status = 'x'
SELECT b1.pages FROM book b1, book b2, chapter c WHERE c.title = 'x' AND b1.id = c.book_id AND b2.id = b1.id
SELECT b.pages FROM ((book b JOIN author a ON a.id = b.author_id) JOIN publisher p ON p.id = b.publisher_id)
SELECT p.name FROM ((book b JOIN author a ON a.id = b.author_id) LEFT JOIN publisher p ON p.id = b.publisher_id)
SELECT c.code FROM country c WHERE c.id = (SELECT p.country_id FROM publisher p WHERE p.name = 'x')
SELECT country.name FROM country JOIN author ON author.country_id = country.id
WITH a AS (SELECT id, name FROM author), b AS (SELECT a.id, book.pages FROM a JOIN book ON book.author_id = a.id) SELECT * FROM b
WITH a AS (SELECT id, email FROM author), b AS (SELECT a.email AS name FROM a JOIN book ON book.author_id = a.id) SELECT name FROM b
WITH a AS (SELECT id FROM author) SELECT b.pages FROM book b WHERE b.author_id IN (SELECT id FROM a)
WITH status AS (SELECT 1 AS title) SELECT status.title FROM status, book
WITH RECURSIVE up AS (SELECT id, mentor_id, 1 AS depth FROM author UNION ALL SELECT a.id, a.mentor_id, up.depth + 1 FROM author a JOIN up ON up.mentor_id = a.id WHERE up.depth < 3) SELECT MAX(depth) FROM up
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT n.i, c.number FROM n JOIN chapter c ON c.number = n.i
INSERT INTO chapter (book_id, title, number, status) SELECT id, title, pages, status FROM book
INSERT INTO chapter (book_id, number) SELECT b.id, COUNT(r.id) FROM book b LEFT JOIN review r ON r.book_id = b.id GROUP BY b.id
INSERT INTO chapter (book_id, number, title, status) VALUES (1, 2, 'title', 'status'), (1, 3, 'x', (SELECT MAX(email) FROM author))
INSERT INTO book_note (book, status, note) SELECT 1, r.status, r.body FROM review r WHERE r.created IS NOT NULL
UPDATE book SET pages = CASE WHEN status = 'x' THEN 1 ELSE pages END
UPDATE book SET pages = pages * 2, price = price + 1 WHERE author_id = 3
UPDATE review SET rating = 1 WHERE book_id IN (SELECT id FROM book WHERE author_id IN (SELECT id FROM author WHERE name = 'x'))
UPDATE chapter SET number = number + 1 WHERE EXISTS (SELECT 1 FROM book WHERE book.id = chapter.book_id AND book.status = 'x')
UPDATE chapter SET number = (SELECT MAX(b.pages) FROM book b WHERE b.id = chapter.book_id)
UPDATE author SET name = 'status of book', email = 'x' WHERE id = 1
DELETE FROM review WHERE id IN (SELECT r.id FROM (SELECT id FROM review WHERE rating = 1) r)
DELETE FROM book_tags WHERE tag_id IN (SELECT id FROM tag WHERE slug = 'x')
DELETE FROM chapter WHERE (SELECT status FROM book WHERE book.id = chapter.book_id) = 'x'
"""

_MORE_POSTGRESQL = """
SELECT b.data['title'] FROM book b
SELECT data #>> '{status}' FROM book
SELECT data @> '{"status": 1}' FROM book
SELECT jsonb_path_query(data, '$.status') FROM book
SELECT b IS NOT NULL FROM book b
SELECT DISTINCT b FROM book b
SELECT count(DISTINCT b) FROM book b
SELECT 1 FROM book b ORDER BY b
SELECT b FROM book a, author b
SELECT max(b.id) FROM book b GROUP BY b
SELECT (SELECT x FROM (SELECT b.pages) x) FROM book b
SELECT row(b.pages, b.id) FROM book b
SELECT b.* FROM (SELECT pages FROM book) b
SELECT coalesce(b, NULL) FROM book b
SELECT to_json(x) FROM (SELECT pages AS title FROM book) x
SELECT format('%s', b) FROM book b
SELECT jsonb_agg(b ORDER BY b.id) FROM book b
SELECT jsonb_object_agg(b.id, b.pages) FROM book b
SELECT json_build_object('b', b) FROM book b
SELECT b.pages FROM book b WHERE b.author_id = ANY (SELECT a.id FROM author a WHERE a.name = 'x')
SELECT b.pages FROM book b WHERE b.pages BETWEEN SYMMETRIC 2 AND 1
SELECT title FROM chapter c JOIN LATERAL (SELECT b.pages FROM book b WHERE b.id = c.book_id LIMIT 1) x ON true
SELECT x.title FROM chapter c JOIN LATERAL (SELECT b.title FROM book b WHERE b.id = c.book_id LIMIT 1) x ON true
SELECT s.i, b.pages FROM generate_series(1, 3) s(i) JOIN book b ON b.id = s.i
SELECT v.title, b.pages FROM (VALUES (1, 'x')) AS v(id, title) JOIN book b USING (id)
SELECT b.pages FROM book b JOIN (VALUES (1, 'x')) AS v(id, title) ON v.id = b.id AND v.title = 'x'
SELECT j.title FROM book b, jsonb_to_recordset(b.data) AS j(title text, pages int)
SELECT e.key FROM book b, jsonb_each_text(b.data) AS e(key, value)
SELECT ordinality, pages FROM book, unnest(ARRAY['a']) WITH ORDINALITY
SELECT CAST(ARRAY[pages] AS numeric(10, 2)[]) FROM book
SELECT DATE '2020-01-01', INTERVAL '1 day', pages FROM book
SELECT published + INTERVAL '1 day' * pages FROM book
SELECT EXTRACT(epoch FROM created) FROM review
SELECT date_trunc('month', created) AS status FROM review
SELECT created AT TIME ZONE 'UTC' FROM review
SELECT (created, created) OVERLAPS (now(), now()) FROM review
SELECT string_agg(DISTINCT title, ',' ORDER BY title) FROM book
SELECT array_agg(pages) FILTER (WHERE title IS NOT NULL) FROM book
SELECT sum(pages) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM book
SELECT grouping(pages), count(*) FROM book GROUP BY CUBE (pages, author_id)
SELECT pages FROM book GROUP BY DISTINCT ROLLUP (pages), pages
SELECT bool_and(status = 'x') FROM book HAVING bool_or(pages > 1)
SELECT pages FROM book ORDER BY title NULLS FIRST, pages DESC NULLS LAST
SELECT pages FROM book FOR SHARE OF book NOWAIT
SELECT pages AS "title" FROM book WHERE "pages" > 1 ORDER BY "title"
SELECT pages "order", id "group" FROM book
SELECT pages INTO TEMP kept FROM book
SELECT title INTO TEMP kept FROM book
CREATE TABLE kept AS SELECT pages FROM book
CREATE TABLE kept AS SELECT * FROM book
CREATE MATERIALIZED VIEW kept AS SELECT title FROM book
DECLARE c CURSOR FOR SELECT title FROM book
DECLARE c CURSOR WITH HOLD FOR SELECT pages FROM book
UPDATE book SET data['status'] = '1'
UPDATE book SET data = jsonb_set(data, '{title}', '1') WHERE id = 1
UPDATE ONLY book SET pages = 1
UPDATE book SET status = DEFAULT
UPDATE book SET pages = DEFAULT
UPDATE book SET pages = v.n FROM (VALUES (1, 2)) AS v(id, n) WHERE v.id = book.id
UPDATE book SET pages = v.status FROM (VALUES (1, 2)) AS v(id, status) WHERE v.id = book.id
UPDATE book SET (title, pages) = ROW('x', 1)
UPDATE book b SET pages = 1 FROM author a JOIN country c ON c.id = a.country_id WHERE a.id = b.author_id AND c.code = 'AT'
UPDATE book b SET pages = 1 FROM author a JOIN country c ON c.id = a.country_id WHERE a.id = b.author_id RETURNING c.name
DELETE FROM ONLY book
DELETE FROM chapter c USING book b WHERE b.id = c.book_id RETURNING b.pages
DELETE FROM chapter c USING book b WHERE b.id = c.book_id RETURNING b.*
DELETE FROM chapter c USING book b WHERE b.id = c.book_id RETURNING c.id
INSERT INTO tag (name, slug) VALUES ('a', 't') ON CONFLICT (slug) WHERE true DO NOTHING
INSERT INTO tag (name, slug) VALUES ('a', 't') ON CONFLICT (slug) DO UPDATE SET name = 'x' WHERE tag.name <> excluded.name
INSERT INTO author AS a (email, name, active) VALUES ('e', 'n', true) ON CONFLICT (email) DO UPDATE SET active = NOT a.active
INSERT INTO author AS a (email, name, active) VALUES ('e', 'n', true) ON CONFLICT (email) DO UPDATE SET mentor_id = excluded.mentor_id
INSERT INTO author (email, name, active) VALUES ('e', 'n', true) ON CONFLICT (email) DO UPDATE SET (name, active) = (excluded.name, false)
INSERT INTO book_note (book, note) VALUES (1, 'x') RETURNING book_note
INSERT INTO book_note (book, note) VALUES (1, 'x') RETURNING id AS status
INSERT INTO tag SELECT * FROM (VALUES (9, 'a', 'b')) v
WITH t(id, n) AS (VALUES (1, 2)) UPDATE book SET pages = t.n FROM t WHERE t.id = book.id
WITH moved AS (DELETE FROM review RETURNING book_id, rating) INSERT INTO chapter (book_id, number) SELECT book_id, rating FROM moved
WITH moved AS (DELETE FROM review WHERE rating = 1 RETURNING *) INSERT INTO book_note (book, note) SELECT book_id, body FROM moved
WITH RECURSIVE t(id) AS (SELECT id FROM author UNION SELECT a.id FROM author a JOIN t ON a.mentor_id = t.id) CYCLE id SET is_cycle USING path SELECT id FROM t
WITH a AS NOT MATERIALIZED (SELECT name, email FROM author) SELECT email FROM a
MERGE INTO book b USING (SELECT id, title FROM chapter) c ON b.id = c.id WHEN MATCHED AND c.title = 'x' THEN DELETE WHEN NOT MATCHED THEN DO NOTHING
MERGE INTO book AS b USING (VALUES (1, 2)) AS v(id, n) ON v.id = b.id WHEN MATCHED THEN UPDATE SET pages = v.n
MERGE INTO tag t USING book b ON t.id = b.id WHEN NOT MATCHED THEN INSERT (id, slug) VALUES (b.id, b.title)
MERGE INTO tag t USING book b ON t.id = b.id WHEN MATCHED THEN UPDATE SET (name, slug) = (b.pages::text, 'x')
SELECT b.pages FROM book AS b(id, x)
SELECT b.x FROM book AS b(id, x)
SELECT pages FROM book WHERE title SIMILAR TO 'a%' OR title ILIKE 'x'
SELECT pages FROM book WHERE (title) IS NOT NULL
SELECT pages FROM book WHERE title COLLATE "C" < 'x'
SELECT max(length(b.title)) FROM book b
SELECT 'a' 'b' FROM book WHERE pages = 1
SELECT pages FROM book LIMIT (SELECT count(*) FROM review WHERE status = 'x')
SELECT pages FROM book OFFSET (SELECT count(*) FROM author)
SELECT x FROM unnest(ARRAY(SELECT pages FROM book)) AS x
SELECT x FROM unnest(ARRAY(SELECT title FROM book)) AS x
SELECT pg_column_size(b.title), pg_typeof(b.pages) FROM book b
SELECT b.title COLLATE "C" AS status FROM book b ORDER BY status
SELECT array_to_string(ARRAY[b.title, 'status'], ',') FROM book b
SELECT b.pages FROM book b WHERE ROW(b.pages, b.title) > ROW(1, 'x')
SELECT b.pages FROM book b CROSS JOIN author a WHERE a = a
SELECT xmlelement(name title, pages) FROM book
SELECT xmlforest(title, pages) FROM book
"""

_MORE_SQLITE = """
SELECT IIF(status = 'x', 1, 2) FROM book
SELECT pages FROM book WHERE title IS NOT 'x' AND status NOTNULL
SELECT pages FROM book WHERE title ISNULL
SELECT pages FROM book WHERE author_id IN (SELECT id FROM author) AND title REGEXP 'x'
SELECT b.pages FROM book b NATURAL LEFT JOIN novel
SELECT number FROM chapter JOIN review USING (book_id) JOIN book ON book.id = chapter.book_id
SELECT number FROM chapter LEFT JOIN review USING (book_id, status)
SELECT value FROM book, json_each(book.data, '$.title')
SELECT key, value FROM json_each((SELECT data FROM book))
SELECT json_extract(data, '$.status') FROM book
SELECT json_group_array(title) FROM book
SELECT group_concat(title, ',') FILTER (WHERE pages > 1) FROM book
SELECT max(pages), title FROM book
SELECT "title" AS 'status' FROM book
SELECT pages AS [status] FROM book ORDER BY [status]
SELECT [status] FROM book WHERE [pages] = 1
SELECT b."title" FROM "main"."book" AS "b"
SELECT count(*), sum(pages) FROM book GROUP BY 1 + author_id ORDER BY 1
SELECT * FROM (SELECT pages, id FROM book) WHERE id > 1
SELECT id FROM (SELECT b.*, a.email FROM book b JOIN author a ON a.id = b.author_id)
SELECT _rowid_, oid, rowid FROM book
SELECT pages FROM book WHERE rowid IN (SELECT rowid FROM chapter)
SELECT total(pages) FROM book WHERE title COLLATE NOCASE = 'X'
SELECT pages -> 'x', data ->> '$.status' FROM book
SELECT CAST(title AS INTEGER) FROM book
SELECT CAST(pages AS TEXT) AS title FROM book
SELECT printf('%s', status) FROM book
SELECT pages FROM book WHERE status BETWEEN 'a' AND 'b'
SELECT pages FROM book WHERE pages NOT BETWEEN 1 AND 2
SELECT pages FROM book ORDER BY pages NULLS LAST LIMIT -1 OFFSET 2
INSERT INTO tag (name, slug) VALUES ('a', 'b') ON CONFLICT (slug) DO UPDATE SET name = excluded.slug WHERE tag.id > 1
INSERT INTO tag (name, slug) SELECT name, email FROM author WHERE true ON CONFLICT DO NOTHING
INSERT INTO tag AS t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET slug = t.name
INSERT INTO book_note (book, note) VALUES (1, 'x') RETURNING id, note AS status
UPDATE book SET pages = c.n FROM (SELECT book_id, COUNT(*) AS n FROM chapter GROUP BY book_id) AS c WHERE c.book_id = book.id
UPDATE book SET pages = 1 WHERE title GLOB 'a*' RETURNING id
UPDATE OR FAIL book SET pages = (SELECT max(title) FROM chapter)
UPDATE book AS b SET (pages, price) = (SELECT number, id FROM chapter WHERE chapter.book_id = b.id)
DELETE FROM book AS b WHERE b.title = 'x'
WITH c(n) AS (VALUES (1), (2)) SELECT b.pages FROM book b JOIN c ON c.n = b.id
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t LIMIT 3) SELECT n FROM t
VALUES ((SELECT MAX(pages) FROM book), 'title')
SELECT b.pages FROM book b FULL JOIN chapter c ON c.book_id = b.id
SELECT b.pages FROM book b RIGHT JOIN chapter c ON c.title = b.title
SELECT b.pages FROM book b LEFT JOIN (chapter c JOIN review r ON r.book_id = c.book_id) ON c.book_id = b.id
SELECT r.status FROM book b LEFT JOIN (chapter c JOIN review r ON r.book_id = c.book_id) ON c.book_id = b.id
SELECT pages FROM book WHERE (SELECT 1 FROM chapter WHERE title = book.title)
SELECT DISTINCT pages, title FROM book
CREATE TABLE kept AS SELECT pages FROM book
CREATE TEMP TABLE kept AS SELECT title FROM book
CREATE VIEW kept AS SELECT title FROM book
"""

_MORE_MYSQL = """
SELECT pages FROM book WHERE title <=> NULL
SELECT pages FROM book WHERE title RLIKE 'x' OR status REGEXP BINARY 'y'
SELECT BINARY title FROM book
SELECT CAST(pages AS SIGNED) AS status FROM book
SELECT CONCAT_WS(',', title, status) FROM book
SELECT JSON_VALUE(data, '$.status') FROM book
SELECT JSON_ARRAYAGG(title) FROM book
SELECT JSON_OBJECTAGG(id, pages) FROM book
SELECT jt.title FROM book b, JSON_TABLE(b.data, '$[*]' COLUMNS (title VARCHAR(10) PATH '$.t', status INT PATH '$.s')) AS jt
SELECT jt.status, b.pages FROM book b JOIN JSON_TABLE('[1]', '$[*]' COLUMNS (n FOR ORDINALITY, status INT PATH '$')) AS jt
SELECT author_id, COUNT(*) FROM book GROUP BY author_id WITH ROLLUP
SELECT status FROM book GROUP BY status WITH ROLLUP
SELECT SQL_CALC_FOUND_ROWS pages FROM book LIMIT 1
SELECT HIGH_PRIORITY SQL_BIG_RESULT pages FROM book
SELECT pages FROM book LIMIT 5 ROWS EXAMINED 100
SELECT pages FROM book FOR UPDATE SKIP LOCKED
SELECT pages FROM book WHERE pages IN (1, 2) AND NOT title XOR status
SELECT pages FROM book WHERE title SOUNDS LIKE 'x'
SELECT pages MOD 2, pages & 1, ~pages, !pages FROM book
SELECT pages FROM book ORDER BY RAND()
SELECT pages FROM book ORDER BY FIELD(status, 'a', 'b')
SELECT EXTRACT(YEAR_MONTH FROM published) FROM book
SELECT DATE_SUB(created, INTERVAL rating DAY) FROM review
SELECT created + INTERVAL 1 HOUR FROM review
SELECT LEFT(title, 3), RIGHT(book.status, 2), REPLACE(body, 'x', 'y') FROM book JOIN review ON review.book_id = book.id
SELECT IFNULL(title, 'x') FROM chapter
SELECT TRIM(LEADING 'x' FROM title) FROM book
SELECT CHAR(65 USING utf8mb4), pages FROM book
SELECT _utf8mb4'title', pages FROM book
SELECT x'74', b'1', N'status', pages FROM book
SELECT 'a' 'title' FROM book WHERE pages = 1
SELECT `b`.`title` AS `status` FROM `book` AS `b` ORDER BY `status`
SELECT b.title 'status' FROM book b
SELECT b.pages 'status' FROM book b
SELECT b.pages AS 'status' FROM book b
SELECT b.pages AS "title" FROM book b
SELECT number FROM chapter JOIN review USING (book_id)
SELECT number FROM chapter JOIN review USING (book_id, status)
SELECT number FROM chapter NATURAL LEFT JOIN book_note
SELECT b.pages FROM book b LEFT JOIN (chapter c, review r) ON c.book_id = b.id AND r.book_id = b.id
SELECT r.status FROM book b LEFT JOIN (chapter c, review r) ON c.book_id = b.id AND r.book_id = b.id
SELECT b.pages FROM book b IGNORE INDEX (PRIMARY) WHERE b.status = 'x'
SELECT b.pages FROM book AS b USE INDEX () JOIN chapter AS c ON c.book_id = b.id
(SELECT pages FROM book) UNION (SELECT number FROM chapter) ORDER BY 1 LIMIT 2
(SELECT title FROM book LIMIT 1) UNION ALL (SELECT name FROM tag LIMIT 1)
SELECT pages FROM book EXCEPT ALL SELECT rating FROM review
VALUES (1, 2), (3, 4)
SELECT * FROM (VALUES (1, 2)) v JOIN book ON book.id = 1
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT n, pages FROM t JOIN book
SELECT NTILE(2) OVER (PARTITION BY status ORDER BY pages) FROM book
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY pages) OVER (PARTITION BY author_id) FROM book
SELECT @n := @n + 1, pages FROM book, (SELECT @n := 0) init
SELECT pages INTO @n FROM book LIMIT 1
SELECT title INTO @n FROM book LIMIT 1
INSERT INTO tag (id, name) VALUES (1, 'a') ON DUPLICATE KEY UPDATE name = VALUE(name)
INSERT INTO tag (id, name) VALUES (1, 'a') ON DUPLICATE KEY UPDATE slug = CONCAT(name, 'x')
INSERT INTO chapter SET book_id = 1, number = (SELECT MAX(pages) FROM book)
INSERT INTO chapter SET book_id = 1, title = 'x', number = DEFAULT
INSERT INTO chapter (book_id, number) VALUES (1, 2) RETURNING id
UPDATE book b, (SELECT book_id, COUNT(*) AS n FROM chapter GROUP BY book_id) c SET b.pages = c.n WHERE c.book_id = b.id
UPDATE book b LEFT JOIN review r ON r.book_id = b.id SET b.pages = 1 WHERE r.id IS NULL
UPDATE book b LEFT JOIN review r ON r.book_id = b.id SET b.pages = r.rating WHERE r.status = 'x'
UPDATE book, chapter SET book.pages = chapter.number, chapter.title = 'x' WHERE book.id = chapter.book_id
UPDATE book SET pages = LENGTH(title) ORDER BY id LIMIT 3
DELETE b, c FROM book b JOIN chapter c ON c.book_id = b.id WHERE c.title = 'x'
DELETE book FROM book JOIN author ON author.id = book.author_id WHERE author.name = 'x'
DELETE FROM c USING book b JOIN chapter c ON c.book_id = b.id WHERE b.status = 'x'
DELETE b.* FROM book b JOIN chapter c ON c.book_id = b.id
DELETE IGNORE FROM book WHERE title IN (SELECT email FROM author)
"""


def fixed(vendor: str) -> list[str]:
    """The forms that this database is asked for."""
    parts = {
        "sqlite": [_ANY, _DOUBLE_QUOTES, _SQLITE, _MORE_ANY, _MORE_SQLITE],
        "postgresql": [_ANY, _DOUBLE_QUOTES, _POSTGRESQL, _MORE_ANY, _MORE_POSTGRESQL],
        "mysql": [_ANY, _MYSQL, _MORE_ANY, _MORE_MYSQL],
    }[vendor]
    return [line.replace("\\\\", "\\") for part in parts for line in part.strip().splitlines() if line]


class Writer:
    """Writes statements at random. The same seed writes the same statements."""

    def __init__(self, vendor: str, seed: int) -> None:
        self.vendor = vendor
        self.random = random.Random(seed)
        self.columns = {table: library.columns(table) for table in library.tables()}
        self.counter = 0

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def name(self, text: str) -> str:
        """A name in one of the ways in which it can be written."""
        plain = text.isascii() and text.replace("_", "").isalnum() and text not in ("order", "group", "desc")
        quotes = {"sqlite": ['"{}"', "[{}]", "`{}`"], "postgresql": ['"{}"'], "mysql": ["`{}`"]}[self.vendor]
        if plain and self.chance(0.75):
            # MariaDB's tables are files: their case counts.
            if self.vendor != "mysql" and self.chance(0.2):
                return self.random.choice([text.upper(), text.title()])
            return text
        return self.random.choice(quotes).format(text)

    def table(self, table: str) -> str:
        schema = {"sqlite": "main", "postgresql": "public", "mysql": ""}[self.vendor]
        return f"{schema}.{self.name(table)}" if schema and self.chance(0.1) else self.name(table)

    def alias(self) -> str:
        self.counter += 1
        return self.random.choice(["a", "b", "t", "x", "u0", "T3", "tag", "title", "s"]) + (
            str(self.counter) if self.chance(0.5) else ""
        )

    def literal(self) -> str:
        return self.random.choice(
            ["'1'", "'x'", "'title'", "'book.status'", "'it''s name'", "NULL", "'SELECT slug FROM tag'"]
        )

    def column(self, sources: list[tuple[str, list[str]]]) -> str:
        alias, columns = self.random.choice(sources)
        column = self.name(self.random.choice(columns))
        return column if self.chance(0.3) else f"{self.name(alias)}.{column}"

    def text(self, column: str) -> str:
        """A column as text, so that PostgreSQL compares it with anything."""
        return (
            f"CAST({column} AS {'char' if self.vendor == 'mysql' else 'text'})" if self.vendor != "sqlite" else column
        )

    def expression(self, sources: list[tuple[str, list[str]]], depth: int) -> str:
        pick = self.random.random()
        if pick < 0.6 or depth > 2:
            return self.column(sources)
        if pick < 0.7:
            return self.literal()
        if pick < 0.8:
            return f"{self.random.choice(['NULLIF', 'COALESCE'])}({self.text(self.column(sources))}, 'x')"
        if pick < 0.86:
            return f"CASE WHEN {self.condition(sources, depth + 1)} THEN {self.column(sources)} ELSE NULL END"
        if pick < 0.9:
            return f"SUM(1) OVER (PARTITION BY {self.column(sources)} ORDER BY {self.column(sources)})"
        return f"({self.query(sources, depth + 1, width=1)})"

    def condition(self, sources: list[tuple[str, list[str]]], depth: int) -> str:
        pick = self.random.random()
        if pick < 0.45 or depth > 2:
            return f"{self.text(self.column(sources))} = {self.literal()}"
        if pick < 0.6:
            return f"{self.text(self.column(sources))} = {self.text(self.column(sources))}"
        if pick < 0.7:
            return f"{self.text(self.column(sources))} IN ({self.literal()}, {self.literal()})"
        if pick < 0.8:
            return f"{self.column(sources)} IS NOT NULL"
        if pick < 0.9:
            return f"EXISTS ({self.query(sources, depth + 1, width=1)})"
        if pick < 0.95:
            return f"{self.column(sources)} IN ({self.query(sources, depth + 1, width=1)})"
        return f"({self.condition(sources, depth + 1)} OR {self.condition(sources, depth + 1)})"

    def source(self, depth: int, ctes: dict[str, list[str]]) -> tuple[str, str, list[str]]:
        """The text of a source in FROM, the name by which it is known, and its columns."""
        if ctes and depth == 0:
            # What a database never reads of, it does not judge.
            cte, columns = ctes.popitem()
            return self.name(cte), cte, columns
        pick = self.random.random()
        if pick < 0.12 and depth < 2:
            alias = self.alias()
            labels = [self.random.choice(["id", "title", "status", "name", "n"]) for _ in range(2)]
            inner = self.query([], depth + 1, width=2, labels=labels)
            return f"({inner}) AS {self.name(alias)}", alias, labels
        table = self.random.choice(list(self.columns))
        if self.chance(0.6):
            alias = self.alias()
            return (
                f"{self.table(table)} {self.random.choice(['AS ', ''])}{self.name(alias)}",
                alias,
                self.columns[table],
            )
        return self.table(table), table, self.columns[table]

    def query(
        self,
        outer: list[tuple[str, list[str]]],
        depth: int,
        *,
        width: int = 0,
        labels: list[str] | None = None,
        ctes: dict[str, list[str]] | None = None,
    ) -> str:
        ctes = ctes or {}
        text, alias, columns = self.source(depth, ctes)
        own = [(alias, columns)]
        for _ in range(self.random.choice([0, 0, 0, 1, 1, 2])):
            more, alias, columns = self.source(depth, ctes)
            pick = self.random.random()
            if pick < 0.15:
                text += f", {more}"
                own.append((alias, columns))
            elif pick < 0.155:
                text += f" NATURAL JOIN {more}"
                own.append((alias, columns))
            elif pick < 0.22:
                text += f" JOIN {more} USING (id)"
                own.append((alias, columns))
            else:
                own.append((alias, columns))
                text += f" {self.random.choice(['JOIN', 'LEFT JOIN', 'INNER JOIN'])} {more} ON {self.condition(own, depth + 1)}"
        # Mostly its own columns, sometimes those of the query around it.
        sources = own + (outer if outer and self.chance(0.4) else [])
        if labels:
            items = [f"{self.column(own)} AS {self.name(label)}" for label in labels]
        elif not width and self.chance(0.12):
            items = [self.random.choice(["*", f"{self.name(own[0][0])}.*"])]
        else:
            items = [self.expression(sources, depth) for _ in range(width or self.random.choice([1, 2, 3]))]
            if self.chance(0.25):
                how = " AS " if self.chance(0.7) else " "
                items[0] += f"{how}{self.name(self.random.choice(['title', 'status', 'name', 'total']))}"
        group = self.column(own) if self.chance(0.12) and not labels and "*" not in items[0] else ""
        if group:
            items = [group, "COUNT(*)", f"MAX({self.text(self.column(own))})"][: width or 3]
        sql = f"SELECT {'DISTINCT ' if self.chance(0.1) else ''}{', '.join(items)} FROM {text}"
        if self.chance(0.6):
            sql += f" WHERE {self.condition(sources, depth)}"
        if group:
            sql += f" GROUP BY {group}"
        if not depth and not group and self.chance(0.3):
            sql += f" ORDER BY {self.column(own)}{self.random.choice(['', ' DESC', ' ASC'])}"
        if not depth and self.chance(0.2):
            sql += " LIMIT 3"
        return sql

    def select(self) -> str:
        ctes: dict[str, list[str]] = {}
        prefix = ""
        if self.chance(0.2):
            name = self.random.choice(["recent", "picked", "tag", "book", "x"])
            labels = ["id", self.random.choice(["title", "status", "total"])]
            prefix = f"WITH {self.name(name)} AS ({self.query([], 1, width=2, labels=labels)}) "
            ctes[name] = labels
        sql = prefix + self.query([], 0, ctes=ctes)
        if self.chance(0.08):
            sql = f"{self.query([], 1, width=1)} UNION {self.query([], 1, width=1)}"
        return sql

    def change(self) -> str:
        table = self.random.choice([each for each in self.columns if each != "order"])
        columns = self.columns[table]
        some = self.random.sample(columns, self.random.randint(1, min(3, len(columns))))
        own = [(table, columns)]
        pick = self.random.random()
        if pick < 0.2:
            return f"INSERT INTO {self.table(table)} ({', '.join(map(self.name, some))}) VALUES ({', '.join(['1'] * len(some))})"
        if pick < 0.35:
            names = ", ".join(map(self.name, some))
            return f"INSERT INTO {self.table(table)} ({names}) {self.query([], 1, width=len(some))}"
        if pick < 0.4:
            return f"INSERT INTO {self.table(table)} VALUES ({', '.join(['1'] * len(columns))})"
        if pick < 0.5 and self.vendor != "mysql":
            text, alias, others = self.source(2, {})
            sources = [(alias, others)]
            if self.chance(0.5):
                more, alias, others = self.source(2, {})
                sources.append((alias, others))
                text += f"{self.random.choice([', ', ' CROSS JOIN '])}{more}"
            sets = ", ".join(f"{self.name(each)} = {self.column(sources)}" for each in some)
            return f"UPDATE {self.table(table)} SET {sets} FROM {text} WHERE {self.condition([*own, *sources], 1)}"
        if pick < 0.8:
            sets = ", ".join(
                f"{self.name(each)} = {self.random.choice([self.literal(), self.column(own)])}" for each in some
            )
            where = f" WHERE {self.condition(own, 1)}" if self.chance(0.7) else ""
            return f"UPDATE {self.table(table)} SET {sets}{where}"
        where = f" WHERE {self.condition(own, 1)}" if self.chance(0.8) else ""
        return f"DELETE FROM {self.table(table)}{where}"

    def spaced(self, sql: str) -> str:
        """The statement with other white space, and comments that name columns."""
        pieces = sql.split(" ")
        if "'" in sql or "[" in sql or '"' in sql or "`" in sql:
            return f"/* title, status of book */ {sql}" if self.chance(0.1) else sql
        fillers = [" "] * 12 + ["\n", "\t", "  ", " /* status */ ", " -- title of book\n", "\n    "]
        return "".join(piece + self.random.choice(fillers) for piece in pieces).rstrip()

    def statement(self) -> str:
        return self.spaced(self.select() if self.chance(0.75) else self.change())


def generated(vendor: str, count: int, seed: int = 20_240) -> list[str]:
    """Distinct statements, most of which the database accepts."""
    writer = Writer(vendor, seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(writer.statement())
    return list(found)
