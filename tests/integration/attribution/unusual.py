"""SQL that few people write, and every database accepts: a second list, written without a look at what reads it.

`⏎` stands for a line break and `⇥` for a tab.
"""

# ruff: noqa: E501 (a statement is read best on one line)

from __future__ import annotations

_ANY = r"""
SELECT(title)FROM book
SELECT title,pages FROM book
SELECT⏎title⏎FROM⏎book
SELECT pages FROM(book)
SELECT-pages FROM book
SELECT+title FROM book
SELECT pages+1"title" FROM book
SELECT pages/**/,/**/status/**/FROM/**/book
SELECT 1 FROM book--⏎WHERE status='x'
SELECT 1 FROM book -- status⏎WHERE pages=1
SELECT book.*FROM book
SELECT book . title FROM book
SELECT book⏎.⏎title FROM book
SELECT book/*x*/./*y*/title FROM book
SELECT DISTINCT(title)FROM book
SELECT DISTINCT title, pages FROM book
SELECT COUNT(1) FROM book
SELECT COUNT(*), COUNT(publisher_id) FROM book
SELECT COUNT(*) * 2, MAX(pages) FROM book
SELECT 2 * COUNT(*) FROM book
SELECT 2 * pages FROM book
SELECT pages * (SELECT COUNT(*) FROM review) FROM book
SELECT (SELECT 2) * pages FROM book
SELECT 'a' FROM book WHERE 'title' = 'title'
SELECT '''title''' FROM book
SELECT '' || 'status' FROM book
SELECT 'x' AS a, '--' AS b, status FROM book
SELECT '/*' AS a, status, '*/' AS b FROM book
SELECT '/*', pages FROM book WHERE '*/ status' = 'x'
SELECT ';' FROM book WHERE title = ';'
SELECT ';', pages FROM book
SELECT pages FROM book WHERE id = 1;
SELECT title FROM book WHERE id = 1;
SELECT b.pages AS title, b.id AS title FROM book b
SELECT b.pages title FROM book b ORDER BY title
SELECT b.pages AS title FROM book b ORDER BY b.title
SELECT b.pages AS title FROM book b ORDER BY UPPER(title)
SELECT b.pages AS title FROM book b ORDER BY title || 'x'
SELECT b.pages AS status, COUNT(*) FROM book b GROUP BY b.pages ORDER BY status
SELECT b.pages AS p FROM book b GROUP BY p
SELECT b.pages AS status FROM book b GROUP BY status, b.pages
SELECT MAX(pages) AS title FROM book HAVING MAX(pages) > 1
SELECT a.name AS x FROM author a WHERE a.id IN (SELECT author_id FROM book WHERE title = name)
SELECT a.email FROM author a WHERE a.id IN (SELECT author_id FROM book WHERE title = name)
SELECT a.email FROM author a WHERE a.id IN (SELECT author_id FROM book WHERE book.pages = born)
SELECT a.email FROM author a WHERE EXISTS (SELECT mentor_id FROM book)
SELECT p.id FROM publisher p WHERE EXISTS (SELECT 1 FROM author p WHERE p.name = 'x')
SELECT p.id FROM publisher p WHERE EXISTS (SELECT 1 FROM author a WHERE p.name = a.email)
SELECT p.id FROM publisher p WHERE EXISTS (SELECT 1 FROM country c JOIN author a ON a.country_id = c.id WHERE c.id = p.country_id AND email = 'x')
SELECT a.email FROM (SELECT email, id FROM author) a JOIN (SELECT title AS t, author_id FROM book) b ON b.author_id = a.id
SELECT a.email FROM (SELECT email, id FROM author) a JOIN (SELECT pages AS title, author_id FROM book) b ON b.author_id = a.id WHERE b.title = 1
SELECT s.* FROM (SELECT pages AS title FROM book) s
SELECT s.* FROM (SELECT title AS pages FROM book) s
SELECT x.y FROM (SELECT s.title AS y FROM (SELECT title FROM chapter) s) x
SELECT x.y FROM (SELECT s.title AS y FROM (SELECT title FROM book) s) x
SELECT x.title FROM (SELECT s.title FROM (SELECT c.number AS title FROM chapter c) s) x
SELECT x.id FROM (SELECT * FROM (SELECT * FROM (SELECT id, number FROM chapter) c) d) x
SELECT x.id FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM chapter) c) d) x
SELECT x.title FROM (SELECT id, title FROM chapter UNION SELECT id, email FROM author) x
SELECT x.title FROM (SELECT id, email AS title FROM author UNION SELECT id, body FROM review) x
SELECT x.title FROM (SELECT id, email AS title FROM author UNION SELECT id, title FROM chapter) x
(SELECT pages FROM book)
((SELECT title FROM book))
SELECT (((title))) FROM book
SELECT ((b.pages)) FROM ((book)) b, tag WHERE tag.id = 1
SELECT pages FROM book WHERE ((((status)))) = 'x'
SELECT 1 FROM book WHERE 1 = 1 AND EXISTS (SELECT 1 WHERE title = 'x')
SELECT 1 FROM book WHERE 1 = 1 AND EXISTS (SELECT 1 WHERE pages = 1)
SELECT (SELECT title) FROM book
SELECT (SELECT b.title) FROM book b
SELECT (SELECT (SELECT b.status)) FROM book b
SELECT (SELECT MAX(x) FROM (SELECT b.title AS x UNION SELECT 'y') u) FROM chapter b
SELECT 1 FROM chapter JOIN book ON chapter.title = 'x' AND pages = 1
SELECT 1 FROM chapter JOIN book ON number = pages
SELECT 1 FROM review JOIN chapter ON review.book_id = chapter.book_id JOIN book ON body = 'x'
SELECT 1 FROM author x JOIN author y ON x.mentor_id = y.id
SELECT 1 FROM author x JOIN author y ON x.id = y.country_id WHERE y.email = x.email
SELECT 1 FROM author AS title JOIN book ON book.author_id = title.id
SELECT title.id FROM author AS title
SELECT title.email AS n FROM author AS title, book
SELECT status.number FROM chapter AS status
SELECT status.status FROM chapter AS status
SELECT status.rating FROM review AS status WHERE status.body = 'x'
SELECT book.id FROM chapter AS book
SELECT book.title FROM chapter AS book
SELECT book.title FROM chapter AS book JOIN book AS chapter ON chapter.id = book.book_id
SELECT chapter.pages FROM chapter AS book JOIN book AS chapter ON chapter.id = book.book_id
SELECT tag.body FROM review AS tag
SELECT tag.code FROM country tag
SELECT review.name FROM tag AS review
SELECT r.name FROM tag r
SELECT author.email FROM author WHERE author.name = 'x' OR author.name IS NULL
SELECT email FROM author, publisher WHERE author.country_id = publisher.country_id AND publisher.name = 'x'
SELECT email FROM author, publisher WHERE author.country_id = publisher.country_id AND author.name = 'x'
SELECT t.x FROM (SELECT 1 AS x) t, book
SELECT t.title FROM (SELECT 1 AS title) t, book
SELECT t.title, pages FROM (SELECT 1 AS title) t, book
WITH title AS (SELECT id FROM book) SELECT title.id FROM title
WITH book AS (SELECT id FROM chapter) SELECT id FROM book
WITH book AS (SELECT * FROM chapter) SELECT id FROM book
WITH book AS (SELECT title FROM chapter) SELECT book.title FROM book
WITH chapter AS (SELECT title FROM book) SELECT chapter.title FROM chapter
WITH a AS (SELECT * FROM chapter), b AS (SELECT * FROM a) SELECT b.id FROM b
WITH a AS (SELECT id, number FROM chapter), b AS (SELECT * FROM a) SELECT b.id FROM b
WITH a AS (WITH b AS (SELECT title FROM book) SELECT title AS t FROM b) SELECT t FROM a
WITH a AS (WITH book AS (SELECT 1 AS title) SELECT title AS t FROM book) SELECT t FROM a, author WHERE author.id = t
WITH a AS (WITH book AS (SELECT 1 AS n) SELECT n FROM book) SELECT book.pages FROM a, book
WITH a AS (SELECT 1 AS n) SELECT (WITH book AS (SELECT 2 AS title) SELECT title FROM book) FROM a
WITH a AS (SELECT 1 AS n) SELECT (WITH b AS (SELECT title FROM book) SELECT MAX(title) FROM b) FROM a
WITH a(title) AS (SELECT number FROM chapter) SELECT a.title FROM a JOIN book ON book.id = a.title
WITH a(x, y) AS (SELECT id, status FROM review) SELECT x FROM a
WITH RECURSIVE a(n) AS (SELECT id FROM author WHERE mentor_id IS NULL UNION ALL SELECT author.id FROM a JOIN author ON author.mentor_id = a.n) SELECT n FROM a
WITH RECURSIVE book(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM book WHERE n < 3) SELECT n FROM book
SELECT ROW_NUMBER() OVER () FROM book
SELECT ROW_NUMBER() OVER (PARTITION BY title) FROM book
SELECT SUM(pages) OVER (ORDER BY author_id, status DESC) FROM book
SELECT SUM(pages) OVER (ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM book
SELECT SUM(pages) OVER x, AVG(pages) OVER y FROM book WINDOW x AS (PARTITION BY author_id), y AS (PARTITION BY title)
SELECT RANK() OVER title FROM book WINDOW title AS (ORDER BY pages)
SELECT LEAD(status) OVER (ORDER BY id) FROM review
SELECT LEAD(rating, 1, 0) OVER (ORDER BY id) FROM review
SELECT NTH_VALUE(title, 2) OVER (ORDER BY number) FROM chapter
SELECT CASE WHEN EXISTS (SELECT 1 FROM review WHERE review.book_id = book.id) THEN 1 ELSE 2 END FROM book
SELECT CASE WHEN 1 = 1 THEN CASE WHEN title = 'x' THEN 1 END END FROM book
SELECT CASE title WHEN 'x' THEN 1 END FROM chapter
SELECT CASE number WHEN 1 THEN 'title' ELSE 'status' END "title" FROM chapter
SELECT CAST(status AS CHAR(3)) FROM review
SELECT CAST('status' AS CHAR(6)) FROM review
SELECT pages FROM book WHERE title BETWEEN 'a' AND 'b'
SELECT pages FROM book WHERE 'x' BETWEEN status AND title
SELECT pages FROM book WHERE pages NOT IN (1, 2) AND title NOT LIKE 'x'
SELECT pages FROM book WHERE 'x' IN (title, status)
SELECT pages FROM book WHERE 1 IN (pages, id)
SELECT pages FROM book WHERE title LIKE '%status%' ESCAPE '!'
SELECT pages FROM book WHERE NOT(title IS NULL)
SELECT pages FROM book WHERE pages<>1 AND id!=2 AND price>=1.5e3 AND price<=.5
SELECT pages FROM book ORDER BY 1
SELECT pages, title FROM book ORDER BY 2 DESC
SELECT pages FROM book ORDER BY (title), (pages) DESC
SELECT pages FROM book ORDER BY CASE WHEN pages = 1 THEN 0 ELSE 1 END, author_id
SELECT pages FROM book ORDER BY pages LIMIT 1 OFFSET 1
SELECT pages FROM book UNION SELECT pages FROM book WHERE title = 'x'
SELECT number FROM chapter UNION ALL SELECT rating FROM review UNION ALL SELECT pages FROM book ORDER BY 1
SELECT title AS x FROM chapter UNION SELECT email FROM author ORDER BY x
SELECT id FROM chapter UNION SELECT id FROM review WHERE status = 'x' ORDER BY id
SELECT name FROM tag
SELECT id FROM tag
SELECT 1 FROM tag
SELECT t.slug FROM tag t
SELECT t.id FROM tag t WHERE t.slug IN ('name', 'x')
SELECT r.id FROM review r
SELECT COUNT(*) FROM review
SELECT MAX(created) FROM review
SELECT created FROM review WHERE rating = 1
SELECT COUNT(DISTINCT created) FROM review
SELECT book.id FROM book WHERE book.id = (SELECT MAX(review.book_id) FROM review)
SELECT book_id FROM book_tags
SELECT tag_id FROM book_tags
SELECT bt.book_id FROM book_tags bt JOIN tag t ON t.id = bt.tag_id
SELECT n.note FROM book_note n
SELECT n.note FROM book_note n, book WHERE book.status = n.note
SELECT book.book FROM book_note book
SELECT book.status FROM book_note book
SELECT book_note.book FROM book_note WHERE book = 1 OR note = 'status'
SELECT genre FROM novel WHERE book_ptr_id = 1
SELECT book_ptr_id FROM novel
SELECT code FROM country
SELECT country.name AS code FROM country
SELECT c.name FROM country c ORDER BY c.name
INSERT INTO tag(name,slug)VALUES('a','b')
INSERT INTO tag(id)VALUES(99)
INSERT INTO tag (id) SELECT id FROM book
INSERT INTO tag (id) SELECT MAX(b.id) FROM book b WHERE b.title = 'x'
INSERT INTO tag (id, slug) SELECT c.id, c.code FROM country c
INSERT INTO country (name) VALUES ('code'), ('x')
INSERT INTO country (name, code) VALUES ('code', 'x')
INSERT INTO country (name) SELECT name FROM publisher
INSERT INTO country (name) SELECT email FROM author UNION SELECT body FROM review
INSERT INTO country VALUES (9, 'a', 'b')
INSERT INTO country VALUES (9, 'a', 'b'), (10, 'c', 'd')
INSERT INTO country SELECT id, email, 'x' FROM author
INSERT INTO chapter (id, book_id, number, status) VALUES (1, 1, 1, 'title')
INSERT INTO novel (book_ptr_id) VALUES (1)
INSERT INTO novel (book_ptr_id, genre) VALUES (1, 'x')
INSERT INTO book_note (status) SELECT MAX(note) FROM book_note
UPDATE tag SET id=id+1
UPDATE tag SET name='slug'
UPDATE tag SET name=slug
UPDATE country SET name='code',code='name'
UPDATE country SET name=(SELECT MAX(email) FROM author WHERE country_id=country.id)
UPDATE country SET name=(SELECT MAX(author.name) FROM author WHERE author.country_id=country.id)
UPDATE country SET name=UPPER(code)
UPDATE country SET name='x' WHERE id=(SELECT MIN(country_id) FROM publisher WHERE name='x')
UPDATE book SET pages=pages WHERE EXISTS(SELECT 1 FROM chapter WHERE book_id=book.id AND title=book.title)
UPDATE book SET pages=1,price=2,status='z' WHERE id=1
UPDATE review SET created=NULL,rating=1
UPDATE review SET rating=CASE WHEN status='x' THEN 1 ELSE 2 END
UPDATE author SET mentor_id=NULL
UPDATE author SET country_id=mentor_id
UPDATE author SET active=true WHERE mentor_id IS NOT NULL
UPDATE novel SET genre='x' WHERE book_ptr_id IN (SELECT id FROM book WHERE status='x')
DELETE FROM tag
DELETE FROM tag WHERE id=1
DELETE FROM country WHERE id NOT IN (SELECT country_id FROM author)
DELETE FROM country WHERE NOT EXISTS (SELECT 1 FROM author WHERE author.country_id=country.id AND author.name=country.name)
DELETE FROM book_tags WHERE book_id IN (SELECT id FROM book WHERE title='x')
DELETE FROM book_tags WHERE book_id=1
DELETE FROM chapter WHERE number=1
"""

_STANDARD_QUOTES = r"""
SELECT "title"FROM"book"
SELECT"b"."pages"FROM"book""b"
SELECT "b"."pages" AS "b"".title" FROM "book" "b"
SELECT "pages" AS "select" FROM "book"
SELECT b."pages" "from" FROM book b
SELECT "pages" "ti""tle" FROM "book"
SELECT "o"."group", "o"."desc" FROM "order" "o"
SELECT o.plain AS "group" FROM "order" o
SELECT o.plain AS "group" FROM "order" o ORDER BY "group"
SELECT o.plain "année" FROM "order" AS o
SELECT COUNT("has space") FROM "order"
SELECT "order".id FROM "order" WHERE "order"."desc" > 1
SELECT "order".plain FROM "order" ORDER BY "order".plain DESC, "order".id ASC
SELECT plain FROM "order" WHERE plain IN (SELECT "desc" FROM "order")
SELECT plain AS "desc" FROM "order" GROUP BY plain
UPDATE "order" SET "group" = 'x', "desc" = 2
UPDATE "order" SET plain = "desc"
INSERT INTO "order"(plain)VALUES(1)
INSERT INTO "order"("année")VALUES('x')
DELETE FROM "order" WHERE "group" IS NULL
DELETE FROM "order" WHERE plain = 1
WITH "order" AS (SELECT 1 AS "group") SELECT "group" FROM "order"
INSERT INTO tag (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'slug'
INSERT INTO tag (id) VALUES (1) ON CONFLICT (id) DO NOTHING RETURNING slug
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.code
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = country.code
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE country.name <> 'x'
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y' WHERE country.code = 'x'
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET code = 'y'
INSERT INTO country (id, name) SELECT id, email FROM author WHERE true ON CONFLICT (id) DO NOTHING
INSERT INTO country (name) VALUES ('x') RETURNING country.id
INSERT INTO country (name) VALUES ('x') RETURNING country.code
INSERT INTO country (name) VALUES ('x') RETURNING id, (SELECT COUNT(*) FROM book)
INSERT INTO country (name) VALUES ('x') RETURNING id, (SELECT MAX(title) FROM book)
UPDATE country SET name = 'x' RETURNING code AS c
UPDATE country SET name = 'x' RETURNING name AS code
DELETE FROM country WHERE id = 9 RETURNING name || code
UPDATE chapter SET number = 1 FROM book WHERE book.id = chapter.book_id AND book.pages = 1
UPDATE chapter SET number = book.pages FROM book JOIN author ON author.id = book.author_id WHERE book.id = chapter.book_id
UPDATE chapter SET number = book.pages FROM book JOIN author ON author.id = book.author_id WHERE author.name = 'x'
UPDATE chapter AS c SET number = x.n FROM (SELECT book_id, COUNT(*) AS n FROM review GROUP BY book_id) AS x WHERE x.book_id = c.book_id
UPDATE chapter AS c SET number = x.n FROM (SELECT book_id, MAX(status) AS n FROM review GROUP BY book_id) AS x WHERE x.book_id = c.book_id
WITH gone AS (SELECT id FROM book WHERE pages = 0) DELETE FROM review WHERE book_id IN (SELECT id FROM gone)
WITH t AS (SELECT id, title FROM chapter) UPDATE book SET pages = 1 WHERE id IN (SELECT id FROM t)
WITH t AS (SELECT id, number FROM chapter) UPDATE book SET pages = 1 WHERE id IN (SELECT id FROM t) RETURNING pages
WITH t AS (SELECT 1 AS id) INSERT INTO country (id, name) SELECT id, 'x' FROM t RETURNING *
SELECT x.* FROM (VALUES (1, 2)) x JOIN book ON book.id = 1
SELECT b.pages FROM book b WHERE (b.id, b.author_id) = (1, 2)
SELECT b.pages FROM book b WHERE (b.id, b.author_id) > (SELECT number, id FROM chapter LIMIT 1)
SELECT b.pages FROM book b WHERE b.title IS DISTINCT FROM 'x'
SELECT SUM(pages) FILTER (WHERE title IS NULL) OVER (ORDER BY id) FROM book
SELECT SUM(pages) FILTER (WHERE id > 1) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM book
SELECT SUM(pages) OVER (ORDER BY id GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM book
SELECT pages FROM book NATURAL JOIN (SELECT 1 AS x) y
VALUES (1, 'title'), (2, 'status')
VALUES ((SELECT COUNT(*) FROM book WHERE title = 'x'))
WITH v(title) AS (VALUES (1), (2)) SELECT title FROM v
WITH v(title) AS (VALUES (1), (2)) SELECT v.title, book.pages FROM v, book
"""

_POSTGRESQL = r"""
SELECT (book).title FROM book
SELECT (book).pages FROM book
SELECT (book.*).title FROM book
SELECT (b.b).title FROM (SELECT b FROM book b) b
SELECT ((b)).pages FROM book b
SELECT (b).pages + (b).price FROM book b
SELECT b.*::text FROM book b
SELECT book.*::text FROM book
SELECT book::text FROM book
SELECT CAST(book AS text) FROM book
SELECT CAST(b.* AS text) FROM book b
SELECT to_json(book) FROM book
SELECT to_jsonb(b) - 'title' FROM book b
SELECT to_jsonb(c) FROM country c
SELECT row_to_json(country, true) FROM country
SELECT row_to_json(row(name)) FROM country
SELECT json_agg(c) FROM country c
SELECT json_agg(c.*) FROM country c
SELECT json_agg(row_to_json(c)) FROM country c
SELECT json_agg(json_build_object('code', c.name)) FROM country c
SELECT md5(c::text) FROM country c
SELECT hashtext(c::text) FROM country c
SELECT c = c FROM country c
SELECT c IS NULL FROM country c
SELECT c IN (SELECT d FROM country d) FROM country c
SELECT count(*) FROM country c GROUP BY c
SELECT count(*) FROM country c HAVING count(c) > 1
SELECT array_agg(c ORDER BY c) FROM country c
SELECT max(c::text) FROM country c
SELECT unnest(array_agg(c)) FROM country c
SELECT (unnest(array_agg(c))).name FROM country c
SELECT (array_agg(c))[1].name FROM country c
SELECT coalesce(c.*, NULL) IS NULL FROM country c
SELECT concat(c) FROM country c
SELECT concat(c.name) FROM country c
SELECT quote_literal(c) FROM country c
SELECT row(c) FROM country c
SELECT (row(c.*)) FROM country c
SELECT ARRAY[c] FROM country c
SELECT ARRAY(SELECT c FROM country c)
SELECT ARRAY(SELECT c.name FROM country c)
SELECT x FROM country AS x
SELECT x.x FROM (SELECT name AS x FROM country) x
SELECT name.name FROM country AS name
SELECT code FROM publisher AS code
SELECT code(c) FROM country c
SELECT name(c) FROM country c
SELECT c.code FROM country c(a, b, d)
SELECT c.d FROM country c(a, b, d)
SELECT * FROM country c(a)
SELECT c.name, r.rating FROM country c LEFT JOIN LATERAL (SELECT rating FROM review LIMIT 1) r ON c.id = 1
SELECT x.c FROM country c, LATERAL (SELECT c.code AS c) x
SELECT x.y FROM country c, LATERAL (SELECT c AS y) x
SELECT x.y FROM country c, LATERAL (SELECT c.name AS y) x
SELECT x.n FROM country c CROSS JOIN LATERAL (VALUES (c.code)) x(n)
SELECT x.n FROM country c CROSS JOIN LATERAL (VALUES (c.name)) x(n)
SELECT x.n FROM country c CROSS JOIN LATERAL unnest(ARRAY[c.code]) x(n)
SELECT k FROM country c, jsonb_object_keys(to_jsonb(c)) k
SELECT e.value FROM country c, jsonb_each_text(to_jsonb(c)) e
SELECT e.value FROM book b, jsonb_array_elements_text(b.data) WITH ORDINALITY AS e(value, n)
SELECT g FROM generate_series(1, (SELECT max(pages) FROM book)) g
SELECT g FROM generate_series(1, (SELECT count(title)::int FROM book)) AS g
SELECT r.* FROM json_to_recordset('[]') AS r(title text, status text), country
SELECT 'country'::regclass
SELECT count(*) FROM pg_class WHERE oid = 'book'::regclass
SELECT pg_relation_size('book')
SELECT pg_get_serial_sequence('book', 'id')
SELECT xmlagg(xmlelement(name x, c.name)) FROM country c
SELECT xmlelement(name c, c) FROM country c
SELECT xmlforest(name AS code) FROM country
SELECT xmlforest(code) FROM country
SELECT xmlelement(name country, xmlattributes(code AS x)) FROM country
SELECT GREATEST(title, 'x'), LEAST(status, 'y') FROM book
SELECT GREATEST(pages, 1) FROM book
SELECT title::varchar(3) FROM chapter
SELECT number::text::varchar(10) AS title FROM chapter
SELECT created::date FROM review
SELECT rating::numeric(10,2) FROM review
SELECT 'x'::text title FROM book
SELECT pages title FROM book
SELECT pages status, author_id title FROM book
SELECT pages AS "U&status" FROM book
SELECT U&"\0070ages" FROM book
SELECT U&"st\0061tus" FROM book
SELECT U&"st!0061tus" UESCAPE '!' FROM book
SELECT pages AS U&"st\0061tus" FROM book
SELECT u&"title" FROM u&"book"
SELECT pages FROM U&"b\006Fok"
SELECT status FROM U&"b\006Fok"
SELECT U&'status', pages FROM book
SELECT U&'\0027 status', pages FROM book
SELECT E'\'', status FROM book
SELECT E'\' status', pages FROM book
SELECT e'a\\', status FROM book
SELECT E'a'⏎'b\'', status FROM book
SELECT 'a'⏎'b', pages FROM book
SELECT 'a' -- it's⏎'b', title FROM book
SELECT 'a\', status FROM book
SELECT 'a\', pages FROM book WHERE 'status' = 'x'
SELECT B'101', X'1F', pages FROM book
SELECT b'101', x'1f', status FROM book
SELECT N'status', pages FROM book
SELECT $$title$$, pages FROM book
SELECT $$'$$, title FROM book
SELECT $a$ $$ $a$, title FROM book
SELECT $a$ $b$ $a$, pages, $b$ title $b$ FROM book
SELECT $été$ title $été$, pages FROM book
SELECT 1$$ FROM book
SELECT pages$1 FROM (SELECT 1 AS pages$1) x, book
SELECT /* /* */ title */ pages FROM book
SELECT /* /* */ */ title FROM book
SELECT /* */ title /* */ FROM book
SELECT pages --/*⏎, title --*/⏎FROM book
SELECT pages /*--*/, title FROM book
SELECT 1--1⏎FROM book
SELECT 5 - -pages FROM book
SELECT @ pages FROM book
SELECT |/ pages FROM book
SELECT pages % 2, pages ^ 2, pages # 1, pages & 3, ~pages, pages << 1 FROM book
SELECT title !~* 'x' FROM chapter
SELECT title ~~ 'x', title !~~* 'y' FROM chapter
SELECT data->'x'->>'y', data#>'{a}', data-'title' FROM book
SELECT data?'x' FROM book
SELECT data?|ARRAY['x'] FROM book
SELECT data@?'$.x', data@@'$.x' FROM book
SELECT data||'{}' FROM book
SELECT data FROM book WHERE data@>'{"status": 1}'
SELECT pages FROM book WHERE '{"status": 1}'::jsonb<@'{}'
SELECT b.data['a']['b'] FROM book b
SELECT (ARRAY[pages,id])[1:2] FROM book
SELECT (ARRAY[title,status])[1] FROM book
SELECT pages FROM book WHERE pages OPERATOR(pg_catalog.=) 1
SELECT pages FROM book WHERE title OPERATOR(pg_catalog.~~) 'x'
SELECT pages FROM book WHERE title COLLATE pg_catalog."C" = 'x'
SELECT pages FROM book ORDER BY title COLLATE "C" DESC NULLS LAST
SELECT pages FROM book WHERE pages = SOME(ARRAY[1])
SELECT pages FROM book WHERE 'x' = ALL(SELECT status FROM review)
SELECT pages FROM book WHERE pages = ALL(SELECT rating FROM review)
SELECT pages FROM book WHERE (pages, title) IN (VALUES (1, 'x'))
SELECT pages FROM book WHERE (pages, id) IN (VALUES (1, 2), (3, 4))
SELECT pages FROM book WHERE ROW(pages, id) IS DISTINCT FROM ROW(1, 2)
SELECT pages FROM book WHERE (SELECT true FROM country WHERE code = 'x')
SELECT count(*) FROM book, country WHERE country.name = book.title
SELECT count(*) FROM book GROUP BY GROUPING SETS ((title), ())
SELECT count(*) FROM book GROUP BY GROUPING SETS ((pages), (), ROLLUP(author_id, id), CUBE(pages))
SELECT GROUPING(title, pages) FROM book GROUP BY ROLLUP(title, pages)
SELECT count(*) FROM book GROUP BY ()
SELECT title FROM chapter GROUP BY 1
SELECT number AS title FROM chapter GROUP BY title, number
SELECT DISTINCT ON (number) number FROM chapter ORDER BY number, title
SELECT DISTINCT ON (number, id) number FROM chapter ORDER BY number, id
SELECT number FROM chapter FETCH NEXT ROW WITH TIES
SELECT number FROM chapter ORDER BY number FETCH FIRST 2 ROWS WITH TIES
SELECT number FROM chapter LIMIT ALL OFFSET 0
SELECT number FROM chapter FOR UPDATE OF chapter NOWAIT
SELECT number FROM chapter c, country FOR SHARE OF country SKIP LOCKED
SELECT number FROM chapter FOR KEY SHARE
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY title) FROM chapter
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY number) FROM chapter
SELECT rank(1) WITHIN GROUP (ORDER BY number) FROM chapter
SELECT string_agg(email, ',' ORDER BY name) FROM author
SELECT string_agg(email, ',' ORDER BY email DESC) FROM author
SELECT json_object_agg(email, name) FROM author
SELECT array_agg(DISTINCT email) FILTER (WHERE active) FROM author
SELECT extract(year FROM born) FROM author
SELECT extract(epoch FROM now() - created) FROM review
SELECT date_part('year', created) FROM review
SELECT position('name' in email) FROM author
SELECT position(name in email) FROM author
SELECT substring(email from 'name') FROM author
SELECT substring(name from 1) FROM author
SELECT substring(email similar '#"x#"' escape '#') FROM author
SELECT overlay(email placing name from 1) FROM author
SELECT trim(name) FROM author
SELECT trim(both from email) FROM author
SELECT email LIKE name FROM author
SELECT normalize(email, NFC) FROM author
SELECT email IS NORMALIZED, name IS NFC NORMALIZED FROM author
SELECT born AT TIME ZONE 'name' FROM author
SELECT interval '1' year, born FROM author
SELECT interval '1' year * mentor_id FROM author
SELECT current_date, current_user, email FROM author
SELECT user, name FROM author
SELECT (SELECT name) FROM author
SELECT id FROM author WHERE CURRENT_TIMESTAMP > born AND LOCALTIME IS NOT NULL
SELECT author.id FROM author TABLESAMPLE BERNOULLI (50) REPEATABLE (1)
SELECT a.name FROM author a TABLESAMPLE SYSTEM (10) REPEATABLE (1)
SELECT id FROM public."author"
SELECT public.author.email FROM public.author
SELECT public.author.name FROM public.author
SELECT public.author.* FROM public.author
SELECT a.id FROM public.author AS a WHERE a.name = 'x'
SELECT author.* FROM public.author
SELECT id FROM only author
SELECT a.name FROM only (author) a
SELECT id FROM author *
SELECT id FROM author * a WHERE a.name = 'x'
SELECT a.id FROM (author a CROSS JOIN country c) WHERE c.name = 'x'
SELECT j.id FROM (author a JOIN (SELECT 1 AS x) y ON true) j
SELECT j.name FROM (author a JOIN (SELECT 1 AS x) y ON true) j
SELECT j.* FROM (author a JOIN (SELECT 1 AS x) y ON true) j
SELECT j FROM (SELECT id FROM author) j
SELECT j FROM (SELECT name FROM author) j
SELECT u.id FROM author JOIN (SELECT id, 1 AS z FROM country) c USING (id) AS u
SELECT u.id FROM author JOIN (SELECT id, 1 AS z FROM country) AS c USING (id) AS u WHERE email = 'x'
SELECT x.name FROM author JOIN (SELECT name FROM country) x USING (name)
SELECT x.id FROM ROWS FROM (generate_series(1, 2)) AS x(id), author
SELECT x.id FROM author LEFT JOIN ROWS FROM (generate_series(1, 2)) AS x(id) ON name = 'x'
TABLE country
TABLE country ORDER BY id
TABLE public.country
(TABLE country) UNION ALL (TABLE country)
WITH x AS (TABLE country) SELECT 1 FROM x
WITH x AS (TABLE country) SELECT id FROM x
SELECT id FROM country WHERE id IN (TABLE nothing)
SELECT id FROM book WHERE id = (SELECT count(*) FROM (TABLE country) t)
INSERT INTO country TABLE country
INSERT INTO country (name) TABLE country
INSERT INTO country AS c (name) VALUES ('x') ON CONFLICT (id) DO UPDATE SET name = c.code
INSERT INTO country AS c (name) VALUES ('x') ON CONFLICT (id) DO UPDATE SET name = c.name RETURNING c.id
INSERT INTO country AS c (name) VALUES ('x') RETURNING c
INSERT INTO country AS c (name) VALUES ('x') RETURNING c.*
INSERT INTO country AS c (name) VALUES ('x') RETURNING to_jsonb(c)
INSERT INTO country (name) VALUES ('x') RETURNING country::text
INSERT INTO country (name) VALUES (DEFAULT)
INSERT INTO country (name, code) VALUES ('x', DEFAULT)
INSERT INTO country OVERRIDING USER VALUE SELECT * FROM country
INSERT INTO country (name) OVERRIDING SYSTEM VALUE VALUES ('x')
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT ON CONSTRAINT country_pkey DO UPDATE SET name = 'y'
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET (name, code) = ROW('a', 'b')
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET (name) = ROW('a')
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = (SELECT max(email) FROM author)
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = (SELECT max(author.name) FROM author)
INSERT INTO book (data['a']) VALUES ('1')
WITH c AS (INSERT INTO country (name) VALUES ('x') RETURNING *) SELECT id FROM c
WITH c AS (INSERT INTO country (name) VALUES ('x') RETURNING id) SELECT * FROM c
WITH c AS (INSERT INTO country (name) VALUES ('x') RETURNING id, name) SELECT c.name AS code FROM c
WITH c AS (UPDATE country SET name = 'x' RETURNING code) SELECT 1
WITH c AS (UPDATE country SET name = 'x' RETURNING id) UPDATE author SET email = 'x' FROM c WHERE c.id = author.country_id
WITH c AS (UPDATE country SET name = 'x' RETURNING id) UPDATE author SET email = 'x' FROM c WHERE c.id = author.country_id RETURNING author
WITH c AS (DELETE FROM country RETURNING country) SELECT 1 FROM c
WITH c AS (DELETE FROM country USING author WHERE author.country_id = country.id RETURNING author.email) SELECT 1 FROM c
WITH a AS (SELECT 1), b AS (DELETE FROM chapter WHERE title = 'x') SELECT 1
UPDATE country c SET name = 'x' WHERE c IS NOT NULL
UPDATE country c SET name = to_jsonb(c)::text
UPDATE country SET name = country::text
UPDATE country SET (name) = ROW('x')
UPDATE country SET (name, code) = (SELECT 'x', 'y')
UPDATE country SET (name, id) = (SELECT email, id FROM author LIMIT 1)
UPDATE country SET name = DEFAULT, code = DEFAULT
UPDATE ONLY country AS c SET name = 'code' WHERE c.id = 1
UPDATE public.country SET code = 'x'
UPDATE public.country SET name = 'x' WHERE public.country.id = 1
UPDATE book SET data['x']['y'] = '1'
UPDATE book b SET pages = s.n FROM (SELECT count(*) AS n FROM chapter) s
UPDATE book b SET pages = s.n FROM (SELECT count(title) AS n FROM chapter) s
UPDATE book b SET pages = 1 FROM chapter c LEFT JOIN review r ON r.book_id = c.book_id WHERE b.id = c.book_id
UPDATE book b SET pages = 1 FROM chapter c LEFT JOIN review r ON r.status = c.status WHERE b.id = c.book_id
UPDATE book b SET pages = g FROM generate_series(1, 2) g WHERE b.id = g
UPDATE book b SET pages = g FROM generate_series(1, 2) g RETURNING b
UPDATE book b SET pages = g FROM generate_series(1, 2) g RETURNING g
UPDATE book b SET pages = 1 FROM LATERAL (SELECT 1 AS title) x WHERE x.title = 1
DELETE FROM country c USING author a WHERE a.country_id = c.id
DELETE FROM country c USING author a WHERE a.name = c.name
DELETE FROM country USING author, publisher p WHERE p.country_id = country.id AND p.name = author.email
DELETE FROM country USING author a LEFT JOIN book b ON b.author_id = a.id WHERE a.country_id = country.id RETURNING b
DELETE FROM country USING author a LEFT JOIN book b ON b.author_id = a.id WHERE a.country_id = country.id RETURNING b.pages
DELETE FROM only public.country AS c WHERE c.code = 'x'
DELETE FROM country RETURNING country.*
DELETE FROM country AS c RETURNING row_to_json(c)
MERGE INTO country c USING author a ON a.country_id = c.id WHEN MATCHED THEN UPDATE SET name = a.email
MERGE INTO country c USING author a ON a.country_id = c.id WHEN MATCHED THEN UPDATE SET code = 'x'
MERGE INTO country c USING author a ON a.name = c.name WHEN MATCHED THEN DO NOTHING
MERGE INTO country c USING author a ON a.country_id = c.id WHEN MATCHED AND a.name = 'x' THEN DELETE
MERGE INTO country c USING author a ON a.country_id = c.id WHEN MATCHED AND a.active THEN DELETE WHEN NOT MATCHED AND a.email = 'x' THEN INSERT (name) VALUES (a.email)
MERGE INTO country c USING author a ON a.country_id = c.id WHEN NOT MATCHED THEN INSERT (name, code) VALUES (a.email, DEFAULT)
MERGE INTO country c USING author a ON a.country_id = c.id WHEN NOT MATCHED THEN INSERT DEFAULT VALUES
MERGE INTO country USING (SELECT 1 AS id) s ON s.id = country.id WHEN MATCHED THEN UPDATE SET (name, code) = ('x', 'y')
MERGE INTO country USING (SELECT 1 AS id) s ON s.id = country.id WHEN MATCHED AND country IS NOT NULL THEN DELETE
MERGE INTO country USING (SELECT 1 AS code) s ON s.code = country.id WHEN MATCHED THEN UPDATE SET name = s.code::text
MERGE INTO ONLY country c USING ONLY author a ON a.id = c.id WHEN MATCHED THEN UPDATE SET name = (SELECT max(title) FROM book)
MERGE INTO country c USING (author a JOIN book b ON b.author_id = a.id) ON a.id = c.id WHEN MATCHED THEN UPDATE SET name = b.title
MERGE INTO country c USING (author a JOIN book b ON b.author_id = a.id) ON a.id = c.id WHEN MATCHED THEN UPDATE SET name = a.email
WITH s AS (SELECT id, email FROM author) MERGE INTO country c USING s ON s.id = c.id WHEN MATCHED THEN UPDATE SET name = s.email
WITH s AS (SELECT id, name FROM author) MERGE INTO country c USING s ON s.id = c.id WHEN MATCHED THEN UPDATE SET name = s.name
EXPLAIN (ANALYZE false, COSTS off) SELECT code FROM country
EXPLAIN (FORMAT json) SELECT name FROM country
EXPLAIN VERBOSE SELECT name FROM country
CREATE TEMP TABLE code AS SELECT name FROM country
CREATE TABLE x AS TABLE country
CREATE TABLE IF NOT EXISTS x (a, b) AS SELECT id, code FROM country WITH NO DATA
CREATE UNLOGGED TABLE x AS SELECT id, name AS code FROM country WITH DATA
CREATE TABLE x AS VALUES (1, 'code')
CREATE MATERIALIZED VIEW x AS SELECT name FROM country
DECLARE x SCROLL CURSOR WITHOUT HOLD FOR SELECT code FROM country
DECLARE x BINARY CURSOR FOR TABLE country
DECLARE x NO SCROLL CURSOR FOR WITH s AS (SELECT name FROM country) SELECT * FROM s
SELECT name INTO x FROM country
SELECT code INTO TABLE x FROM country
SELECT id INTO UNLOGGED code FROM country
SELECT b.pages FROM book b WHERE b.id IN (SELECT book_id FROM chapter c WHERE c.number = b.pages UNION SELECT book_id FROM review)
SELECT b.pages FROM book b WHERE b.id IN (SELECT book_id FROM chapter c WHERE c.title = b.title UNION SELECT book_id FROM review)
SELECT b.pages FROM book b WHERE b.id IN (SELECT book_id FROM chapter EXCEPT ALL (SELECT book_id FROM review INTERSECT SELECT id FROM tag))
SELECT nullif(name, name) FROM country WHERE name = ANY(string_to_array('code', ','))
SELECT * FROM (SELECT name FROM country) c, (SELECT 1) d
SELECT * FROM (SELECT name, c.id FROM country c) c
SELECT c.* FROM (SELECT 1 AS code) c
SELECT c.* FROM country c, (SELECT 1 AS x) d
SELECT d.* FROM country c, (SELECT 1 AS x) d
SELECT d.*, c.name FROM country c, (SELECT 1 AS x) d
SELECT count(d.*) FROM country c, (SELECT 1 AS x) d
SELECT count(d) FROM country c, (SELECT 1 AS x) d
SELECT count(c) FROM country c, (SELECT 1 AS x) d
SELECT d FROM country c, (SELECT c.id FROM author c) d
SELECT country FROM (SELECT 1) country
SELECT country.code FROM (SELECT 1 AS code) country
SELECT country FROM author country
SELECT country.email FROM author country
SELECT (country).email FROM author country
SELECT (country).name FROM author country
SELECT mentor_id IS NULL AND name ISNULL FROM author
SELECT 1 FROM author WHERE (name) LIKE ('x')
SELECT 1 FROM author WHERE name IN ((SELECT title FROM chapter))
SELECT 1 FROM author GROUP BY name
SELECT 1 FROM author GROUP BY id HAVING max(name) = 'x'
SELECT 1 FROM author GROUP BY id ORDER BY name
SELECT 1 FROM author ORDER BY author
SELECT 1 FROM author ORDER BY author.id
SELECT 1 FROM author ORDER BY author.*
SELECT 1 FROM author a WHERE a = ROW(1, 'a', 'b', NULL, true, 1, 1)
SELECT 1 FROM author a WHERE a.* IS NULL
SELECT 1 FROM author a WHERE a.id::text = 'name'
SELECT sum(1) OVER (PARTITION BY a) FROM author a
SELECT sum(1) OVER (ORDER BY a.id) FROM author a
SELECT lag(a) OVER (ORDER BY a.id) FROM author a
SELECT first_value(a.email) OVER (ORDER BY a.id) FROM author a
SELECT to_tsvector(title) @@ to_tsquery('x') FROM chapter
SELECT to_tsvector('english', title || ' ' || status) FROM chapter
SELECT ts_headline(status, to_tsquery('title')) FROM chapter
SELECT setweight(to_tsvector('title'), 'A'), number FROM chapter
SELECT jsonb_build_object('title', c.title, 'n', c.number) FROM chapter c
SELECT jsonb_build_object('title', c.number) FROM chapter c
SELECT jsonb_strip_nulls(to_jsonb(c)) FROM chapter c
SELECT (to_jsonb(c)->>'number')::int FROM chapter c
SELECT to_jsonb(c.number) FROM chapter c
SELECT jsonb_path_exists(b.data, '$.title') FROM book b
SELECT jsonb_set(data, '{a}', to_jsonb(title)) FROM book
SELECT format('%I %s', 'title', pages) FROM book
SELECT regexp_replace(title, 'a', 'b') FROM book
SELECT split_part('title.status', '.', 1), pages FROM book
SELECT num_nonnulls(pages, id) FROM book
SELECT num_nulls(VARIADIC ARRAY[title]) FROM book
SELECT make_interval(days => pages) FROM book
SELECT make_interval(days => 1, hours := pages) FROM book
SELECT f.title FROM book, make_interval(days => pages) AS f(title)
"""

_SQLITE = r"""
SELECT title FROM book WHERE id=1⏎;
SELECT[title]FROM[book]
SELECT`b`.`title`FROM`book``b`
SELECT [pages] AS [ti tle] FROM [book]
SELECT "pages" 'title' FROM "book"
SELECT b."pages" [status] FROM "book" b
SELECT b.pages `title` FROM book b
SELECT 'title' FROM 'book'
SELECT "nothing" FROM book
SELECT "status" FROM country
SELECT "code" FROM country
SELECT 'code' FROM country
SELECT country.'code' FROM country
SELECT 'country'.'name' FROM 'country'
SELECT c.[code] FROM country AS c
SELECT c.[name] FROM country AS [c]
SELECT main.country.code FROM country
SELECT main.country.name FROM main.country
SELECT [main].[country].* FROM [main].[country]
SELECT "main"."c"."name" FROM country AS c
SELECT c.* FROM main.country c
SELECT country.rowid FROM country
SELECT oid FROM country WHERE rowid = 1
SELECT name FROM country INDEXED BY nothing
SELECT name FROM country NOT INDEXED WHERE code = 'x'
SELECT name FROM country AS c NOT INDEXED WHERE c.name = 'x'
SELECT name FROM country WHERE id IN publisher
SELECT name FROM author WHERE id IN (publisher)
SELECT name FROM author WHERE id IN (1, mentor_id)
SELECT email FROM author WHERE id NOT IN (SELECT country_id FROM publisher)
SELECT email FROM author WHERE id IN ()
SELECT email FROM author WHERE name IN ()
SELECT email FROM author WHERE (id, name) IN (VALUES (1, 'x'))
SELECT email FROM author WHERE (id, email) IN (VALUES (1, 'x'))
SELECT email FROM author WHERE (id, email) = (SELECT id, code FROM country)
SELECT email FROM author WHERE name == 'x'
SELECT email FROM author WHERE email MATCH 'name'
SELECT email FROM author WHERE email GLOB 'name*' AND email NOT LIKE 'name'
SELECT email FROM author WHERE email IS name
SELECT email FROM author WHERE email IS NOT NULL AND email NOT NULL
SELECT email FROM author WHERE name NOT NULL
SELECT email FROM author WHERE NOT name
SELECT email FROM author WHERE email REGEXP name
SELECT email FROM author WHERE email COLLATE NOCASE = 'name'
SELECT email COLLATE nocase AS name FROM author ORDER BY name
SELECT email AS name FROM author WHERE name = 'x'
SELECT email AS e FROM author WHERE e = 'x' AND name = 'y'
SELECT email AS name FROM author GROUP BY name
SELECT email AS name FROM author GROUP BY author.name
SELECT email AS name FROM author HAVING name > 'x'
SELECT email AS name, name AS email FROM author
SELECT max(email) AS name FROM author ORDER BY name
SELECT max(id), name FROM author
SELECT group_concat(name, '-') FROM author
SELECT group_concat(email ORDER BY name) FROM author
SELECT group_concat(DISTINCT email) FROM author
SELECT count(DISTINCT name) FROM author
SELECT total(id), avg(DISTINCT id) FROM author
SELECT iif(name IS NULL, 1, 2) FROM author
SELECT coalesce(mentor_id, 1) FROM author
SELECT typeof(name), quote(email), hex(email) FROM author
SELECT json_object('name', email) FROM author
SELECT json_object('email', name) FROM author
SELECT json_group_object(email, id) FROM author
SELECT data->>'$.title' FROM book
SELECT data->'title'->>'x' FROM book
SELECT j.key, j.value FROM book, json_tree(book.data) AS j
SELECT j.value FROM book AS b, json_each(b.data, '$.x') AS j WHERE j.key = 'title'
SELECT value FROM json_each('["title"]')
SELECT json_each.value FROM book, json_each(title)
SELECT name FROM pragma_table_info('book')
SELECT p.name, c.name FROM pragma_table_info('country') p, country c
SELECT sql FROM sqlite_master WHERE name = 'book'
SELECT * FROM sqlite_schema
SELECT printf('%s %d', email, id) FROM author
SELECT strftime('%Y', born) FROM author
SELECT CAST(name AS TEXT) FROM author
SELECT CAST(email AS name) FROM author
SELECT CAST(email AS VARCHAR(10)) AS name FROM author
SELECT x'61', X'62', email FROM author
SELECT x'61', name FROM author
SELECT 0x1F, 1e3, .5, 1., email FROM author
SELECT 1_000, name FROM author
SELECT email || 'name' || name FROM author
SELECT -id, +id, ~id, NOT id FROM author
SELECT id << 1, id >> 1, id & 1, id | 1, id % 2 FROM author
SELECT id <> 1, id != 2, id == 3, id <= 4 FROM author
SELECT email /* name⏎*/ FROM author
SELECT email -- name
SELECT email FROM author -- name
SELECT email FROM author /* name
SELECT email /* /* */ FROM author
SELECT email /* /* */, name FROM author /* */
SELECT email FROM author # name
SELECT ?1, ?2, :name, @name, $name, email FROM author
SELECT :a, name FROM author
SELECT email FROM author WHERE id = :name
SELECT email FROM author WHERE id = @title AND name = $x
SELECT email FROM author LIMIT 2 OFFSET 1
SELECT email FROM author LIMIT (SELECT count(*) FROM country)
SELECT email FROM author LIMIT (SELECT count(code) FROM country)
SELECT email FROM author ORDER BY name COLLATE NOCASE ASC NULLS FIRST
SELECT email FROM author ORDER BY 1 DESC, email ASC
SELECT email FROM author WINDOW w AS (ORDER BY id)
SELECT sum(id) OVER w FROM author WINDOW w AS (ORDER BY name)
SELECT sum(id) OVER (w ROWS 1 PRECEDING) FROM author WINDOW w AS (ORDER BY id)
SELECT a.email FROM author a LEFT JOIN author b ON a.mentor_id = b.id
SELECT a.email FROM author a LEFT JOIN author b ON a.id = b.id AND b.name = 'x'
SELECT a.email FROM author a, author b USING (id)
SELECT a.email FROM author a JOIN author b USING (id)
SELECT a.email FROM author a JOIN author b USING (name)
SELECT a.email FROM author a CROSS JOIN country c WHERE c.name = 'x'
SELECT a.email FROM author a FULL OUTER JOIN country c ON c.id = a.country_id
SELECT a.email FROM (author a)
SELECT a.email FROM (author a, country c)
SELECT a.email FROM (author a JOIN country c ON c.id = a.country_id) WHERE c.code = 'x'
SELECT x.email FROM (author AS a JOIN country AS c ON c.id = a.country_id) AS x
SELECT p.id FROM publisher p JOIN (author a JOIN country c ON c.id = a.country_id) ON p.id = a.id
SELECT p.id FROM publisher p JOIN (author a) ON p.id = a.id
SELECT p.id FROM publisher p, (country c)
SELECT p.id FROM publisher p, (SELECT id FROM country) c
SELECT p.id FROM publisher p, (VALUES (1, 'name')) v
SELECT p.id, v.column1 FROM publisher p JOIN (VALUES (1), (2)) v ON v.column1 = p.id
SELECT id FROM publisher WHERE EXISTS (VALUES (name))
SELECT id FROM publisher WHERE EXISTS (VALUES (1))
SELECT email FROM author WHERE country_id = (SELECT id FROM country WHERE country.name = author.email)
SELECT email FROM author WHERE country_id = (SELECT id FROM country WHERE country.name = author.name)
SELECT (SELECT code FROM country WHERE id = author.country_id) AS name FROM author
INSERT INTO country DEFAULT VALUES
INSERT INTO main.country (name) VALUES ('x')
INSERT INTO country AS c (name) SELECT title FROM chapter
INSERT INTO country (name) SELECT status FROM chapter WHERE 1 ON CONFLICT DO UPDATE SET name = 'x'
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = name || code
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET (name, id) = ('a', 2)
INSERT INTO country (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = (SELECT title FROM book) ON CONFLICT DO NOTHING
INSERT INTO country (id, name) VALUES (1, 'x') RETURNING rowid
INSERT INTO country (id, name) VALUES (1, 'x') RETURNING "code"
INSERT OR ROLLBACK INTO country (name) VALUES ('code')
REPLACE INTO country (id, name) SELECT id, name FROM country
REPLACE INTO country (id, name) SELECT id, email FROM author
UPDATE country SET [name] = 'x', "id" = 2
UPDATE country SET "code" = 'x'
UPDATE country SET 'code' = 'x'
UPDATE country SET (name, code) = ('x', 'y')
UPDATE country SET name = c.email FROM author AS c WHERE c.country_id = country.id
UPDATE country SET name = c.name FROM author AS c WHERE c.country_id = country.id
UPDATE country SET name = 'x' FROM author, publisher WHERE author.country_id = country.id
UPDATE main.country SET name = 'x' WHERE main.country.code = 'y'
UPDATE country INDEXED BY nothing SET name = 'x'
UPDATE country NOT INDEXED SET name = 'x' WHERE code = 'z'
UPDATE OR REPLACE country SET name = 'x'
DELETE FROM main.country WHERE name = 'code'
DELETE FROM country NOT INDEXED WHERE code = 'x'
DELETE FROM country WHERE rowid = 1
WITH c(code) AS (SELECT id FROM author) SELECT code FROM c
WITH c AS NOT MATERIALIZED (SELECT name FROM country) SELECT * FROM c
WITH RECURSIVE c(i) AS (SELECT 1 UNION SELECT i + 1 FROM c LIMIT 5) SELECT i, email FROM c, author
WITH c AS (SELECT id FROM country) REPLACE INTO tag (id) SELECT id FROM c
WITH c AS (SELECT code FROM country) INSERT OR IGNORE INTO author (email) SELECT code FROM c
WITH c AS (SELECT code FROM country) UPDATE OR IGNORE author SET email = (SELECT code FROM c)
WITH c AS (SELECT name FROM country) DELETE FROM author WHERE email IN c
WITH c AS (SELECT name FROM country) DELETE FROM author WHERE email IN (SELECT name FROM c)
SELECT name FROM country EXCEPT SELECT email FROM author INTERSECT SELECT body FROM review
SELECT id FROM country EXCEPT SELECT id FROM author
CREATE TABLE x AS SELECT code FROM country
CREATE TABLE IF NOT EXISTS x AS SELECT name FROM country
CREATE TEMPORARY TABLE x AS VALUES (1, 'code')
EXPLAIN QUERY PLAN SELECT name FROM country
EXPLAIN QUERY PLAN SELECT code FROM country
PRAGMA table_info(country)
"""

_MYSQL = r"""
SELECT`title`FROM`book`
SELECT b.`title`FROM book b
SELECT .title FROM book
SELECT `b`.`pages` `title` FROM `book` `b`
SELECT b.pages AS `from` FROM book b
SELECT b.pages 'title' FROM book AS b
SELECT b.pages "title" FROM book b
SELECT "a" "title" FROM book
SELECT 'a' "b", pages FROM book
SELECT "it""s", pages FROM book
SELECT "it""s", status FROM book
SELECT 'it\'s', status FROM book
SELECT "a\"b", status FROM book
SELECT '\\', status FROM book
SELECT '\\\' status', pages FROM book
SELECT 'a\', status FROM book # '
SELECT "a' b", status, 'c" d' FROM book
SELECT pages FROM book WHERE title='a\\'
SELECT _utf8'title', pages FROM book
SELECT _utf8mb4 'title' COLLATE utf8mb4_bin, pages FROM book
SELECT _latin1 0x41, _binary'x', status FROM book
SELECT _utf8mb4"status", pages FROM book
SELECT N'title', n'x', pages FROM book
SELECT X'41', 0x41, b'01', 0b01, pages FROM book
SELECT x'41', title FROM book
SELECT 1e3, 1.5, .5, 1., pages FROM book
SELECT 1a FROM (SELECT 1 AS 1a) x, book
SELECT 1.pages FROM (SELECT 1 AS pages) `1`, book
SELECT DATE'2020-01-01', TIME '10:00', TIMESTAMP'2020-01-01 00:00:00', pages FROM book
SELECT pages # status⏎FROM book
SELECT pages #⏎, status⏎FROM book
SELECT pages --⏎, title FROM book
SELECT pages -- title
SELECT pages --title FROM book
SELECT pages--status FROM book
SELECT pages --⇥status⏎FROM book
SELECT pages /*! , title */ FROM book
SELECT pages /*!50000 , title */ FROM book
SELECT pages /*!99999 , title */ FROM book
SELECT pages /*M!100000 , title */ FROM book
SELECT /*+ NO_INDEX(book) */ pages FROM book
SELECT pages /* ! title */ FROM book
SELECT /*!40001 SQL_NO_CACHE */ title FROM book
SELECT /*!40001 SQL_NO_CACHE */ pages FROM book
SELECT pages /* /* */ FROM book
SELECT pages /* /* */, title FROM book
SELECT pages /*'*/, title /*'*/ FROM book
SELECT pages FROM book LIMIT 2 OFFSET 1
SELECT pages FROM book WHERE title = BINARY 'x'
SELECT pages FROM book WHERE pages && 1 || id
SELECT pages FROM book WHERE !title
SELECT pages FROM book WHERE NOT status <=> NULL
SELECT pages FROM book WHERE title REGEXP '^x' OR status NOT RLIKE 'y'
SELECT pages FROM book WHERE MATCH (title) AGAINST ('x')
SELECT pages FROM book WHERE pages = ANY (SELECT number FROM chapter)
SELECT pages FROM book WHERE 'x' = ALL (SELECT title FROM chapter)
SELECT pages FROM book WHERE (pages, title) = ROW(1, 'x')
SELECT pages FROM book WHERE published > NOW() - INTERVAL 1 DAY
SELECT pages FROM book WHERE published > NOW() - INTERVAL pages DAY
SELECT pages FROM book WHERE published > NOW() - INTERVAL '1 2' DAY_HOUR
SELECT pages FROM book WHERE published BETWEEN '2020-01-01' AND CURDATE()
SELECT ADDDATE(published, 1), SUBDATE(published, INTERVAL 1 MONTH) FROM book
SELECT EXTRACT(YEAR FROM published), EXTRACT(DAY_MICROSECOND FROM published) FROM book
SELECT TIMESTAMPADD(WEEK, pages, published) FROM book
SELECT GET_FORMAT(DATE, 'USA'), pages FROM book
SELECT GROUP_CONCAT(DISTINCT pages ORDER BY id DESC SEPARATOR 'title') FROM book
SELECT GROUP_CONCAT(pages, title) FROM book
SELECT GROUP_CONCAT(pages ORDER BY id LIMIT 1) FROM book
SELECT COUNT(DISTINCT pages, title) FROM book
SELECT COUNT(DISTINCT pages, id) FROM book
SELECT BIT_OR(pages), STD(pages), VAR_POP(pages) FROM book
SELECT CONVERT('title' USING latin1), pages FROM book
SELECT CONVERT(title, CHAR(10)) FROM book
SELECT CAST(title AS BINARY) FROM book
SELECT CAST(pages AS UNSIGNED) title FROM book
SELECT CAST(pages AS DECIMAL(10, 2)) FROM book
SELECT CAST(pages AS CHAR CHARACTER SET utf8mb4) FROM book
SELECT title COLLATE utf8mb4_bin FROM book
SELECT 'title' COLLATE utf8mb4_bin, pages FROM book
SELECT TRIM(TRAILING FROM title), TRIM('x') FROM book
SELECT SUBSTRING(title, 1, 2) FROM book
SELECT SUBSTRING('title' FROM 1 FOR pages) FROM book
SELECT POSITION('x' IN status) FROM book
SELECT INSERT('title', 1, pages, 'status'), REPEAT('x', pages) FROM book
SELECT INSERT(title, 1, 1, 'x') FROM book
SELECT VALUES(title) FROM book
SELECT IF(pages, title, status) FROM book
SELECT IF(pages, 'title', 'status') FROM book
SELECT IFNULL(pages, 0), ISNULL(pages) FROM book
SELECT ELT(1, 'title', status) FROM book
SELECT FIELD(pages, 1, 2), FIND_IN_SET('title', 'title,status') FROM book
SELECT MOD(pages, 2), pages MOD 2, pages DIV 2 FROM book
SELECT JSON_EXTRACT(data, '$.title'), JSON_UNQUOTE(JSON_EXTRACT(data, '$.x')) FROM book
SELECT JSON_OBJECT('title', pages) FROM book
SELECT JSON_OBJECT('x', title) FROM book
SELECT JSON_CONTAINS('{}', '1', '$.title'), pages FROM book
SELECT t.title FROM JSON_TABLE('[]', '$[*]' COLUMNS (title VARCHAR(10) PATH '$.title')) AS t
SELECT t.id FROM book b, JSON_TABLE(b.data, '$[*]' COLUMNS (id INT PATH '$.id' DEFAULT '0' ON EMPTY)) t
SELECT t.id FROM book b, JSON_TABLE(b.title, '$[*]' COLUMNS (id INT PATH '$.id', NESTED PATH '$.x' COLUMNS (y INT PATH '$'))) t
SELECT @x := title FROM book
SELECT @title, @@version, pages FROM book
SELECT @`title` := pages FROM book
SELECT @@session.sql_mode, @@global.max_connections, pages FROM book
SELECT pages INTO @title FROM book LIMIT 1
SELECT 1 FROM book WHERE @x = status
SELECT 1 FROM DUAL
SELECT 1 FROM DUAL WHERE EXISTS (SELECT title FROM book)
SELECT STRAIGHT_JOIN SQL_SMALL_RESULT b.pages FROM book b, chapter c
SELECT ALL b.pages FROM book b
SELECT DISTINCTROW b.title FROM book b
SELECT SQL_BUFFER_RESULT * FROM chapter
SELECT SQL_CACHE number FROM chapter
SELECT * FROM book PARTITION (p0)
SELECT b.pages FROM book AS b FORCE INDEX (PRIMARY), chapter c
SELECT b.pages FROM book b USE KEY FOR GROUP BY (PRIMARY) GROUP BY b.pages
SELECT b.pages FROM book b IGNORE KEY (PRIMARY) JOIN chapter c USE INDEX (PRIMARY) ON c.title = 'x'
SELECT b.pages FROM book b JOIN chapter c ON c.book_id = b.id STRAIGHT_JOIN review r ON r.book_id = b.id
SELECT b.pages FROM book b INNER JOIN chapter c USING (id) WHERE c.title = b.status
SELECT b.pages FROM book b CROSS JOIN chapter c ON c.book_id = b.id
SELECT b.pages FROM book b LEFT JOIN (chapter c JOIN review r ON r.book_id = c.book_id) ON c.book_id = b.id AND r.status = 'x'
SELECT b.pages FROM (book b)
SELECT b.pages FROM (book b, chapter c) JOIN review r ON r.book_id = b.id
SELECT b.pages FROM (book AS b CROSS JOIN chapter AS c) LEFT JOIN review r ON c.title = r.body
SELECT b.pages FROM { OJ book b LEFT OUTER JOIN chapter c ON c.book_id = b.id }
SELECT b.pages FROM { OJ book b LEFT OUTER JOIN chapter c ON c.title = 'x' }
SELECT {d '2020-01-01'}, pages FROM book
SELECT pages AS status FROM book GROUP BY status
SELECT pages AS x FROM book GROUP BY x WITH ROLLUP HAVING x > 1
SELECT pages AS title FROM book HAVING title > 1
SELECT pages FROM book HAVING title > 'x'
SELECT pages AS title FROM book WHERE title = 'x'
SELECT pages AS title FROM book ORDER BY title + 1
SELECT MAX(pages) AS title FROM book GROUP BY author_id ORDER BY MAX(title)
SELECT author_id, MAX(pages) FROM book GROUP BY author_id ASC ORDER BY NULL
SELECT pages FROM book ORDER BY title IS NULL, status DESC
SELECT pages FROM book ORDER BY id LIMIT 1 LOCK IN SHARE MODE
SELECT pages FROM book FOR UPDATE WAIT 1
SELECT pages FROM book FOR UPDATE NOWAIT
SELECT pages FROM book OFFSET 1 ROW FETCH FIRST 2 ROWS ONLY
SELECT pages FROM book FETCH FIRST 1 ROW ONLY
(SELECT pages FROM book ORDER BY title LIMIT 1)
(SELECT pages FROM book) UNION DISTINCT (SELECT rating FROM review WHERE status = 'x')
SELECT pages FROM book MINUS SELECT rating FROM review
SELECT pages FROM book INTERSECT ALL SELECT rating FROM review
SELECT number FROM chapter UNION (SELECT title FROM chapter ORDER BY id LIMIT 1)
TABLE book
VALUES (1), (2)
VALUES ((SELECT MAX(title) FROM book))
SELECT v.* FROM (VALUES (1)) v, book b
WITH v(title) AS (VALUES (1)) SELECT title FROM v
WITH book AS (SELECT number AS title FROM chapter) SELECT title FROM book
WITH t AS (SELECT id FROM book), u AS (SELECT t.id FROM t JOIN chapter ON chapter.book_id = t.id) SELECT * FROM u
WITH RECURSIVE t AS (SELECT id, mentor_id FROM author UNION ALL SELECT a.id, a.mentor_id FROM author a JOIN t ON a.mentor_id = t.id) CYCLE id RESTRICT SELECT id FROM t
SELECT RANK() OVER (PARTITION BY author_id ORDER BY pages DESC) AS title FROM book
SELECT RANK() OVER w FROM book WINDOW w AS (ORDER BY title)
SELECT MEDIAN(pages) OVER (PARTITION BY status) FROM book
SELECT LASTVAL(s), pages FROM book
SELECT NEXT VALUE FOR s, pages FROM book
SELECT pages FROM book FOR SYSTEM_TIME ALL
INSERT INTO country SET name='x'
INSERT INTO country SET name='x',code='y'
INSERT INTO country SET name=code
INSERT INTO country SET country.name='x'
INSERT INTO country SET name=(SELECT MAX(code) FROM (SELECT code FROM country) c)
INSERT country SET name='code' ON DUPLICATE KEY UPDATE name='y'
INSERT LOW_PRIORITY IGNORE country (name) VALUE ('x')
INSERT HIGH_PRIORITY INTO country (name) VALUES ('x'), ('y')
INSERT DELAYED INTO country (name) VALUES ('x')
INSERT INTO country () VALUES ()
INSERT INTO country VALUES ()
INSERT INTO country VALUE (9, 'a', 'b')
INSERT INTO country (name) VALUES ('x') ON DUPLICATE KEY UPDATE name=VALUES(name)
INSERT INTO country (name) VALUES ('x') ON DUPLICATE KEY UPDATE name=VALUES(code)
INSERT INTO country (name) VALUES ('x') ON DUPLICATE KEY UPDATE name=VALUE(name), code='z'
INSERT INTO country (name) VALUES ('x') ON DUPLICATE KEY UPDATE name=CONCAT(name, code)
INSERT INTO country (name) VALUES ('x') ON DUPLICATE KEY UPDATE country.name='z'
INSERT INTO country (name) VALUES ('x') ON DUPLICATE KEY UPDATE country.code='z'
INSERT INTO country (name) VALUES (DEFAULT(name))
INSERT INTO country (name) VALUES (DEFAULT(code))
INSERT INTO country (name) VALUES (DEFAULT)
INSERT INTO country (name) SELECT a.email FROM author a ON DUPLICATE KEY UPDATE name=a.name
INSERT INTO country (name) SELECT a.email FROM author a ON DUPLICATE KEY UPDATE country.name=a.email
INSERT INTO country (name) SELECT email FROM author UNION SELECT body FROM review ON DUPLICATE KEY UPDATE name='code'
INSERT INTO country (name) (SELECT email FROM author)
INSERT INTO country (name) WITH a AS (SELECT name FROM author) SELECT * FROM a
INSERT INTO country (country.name) VALUES ('x')
INSERT INTO country (name) VALUES ('x') RETURNING id, name
INSERT INTO country (name) VALUES ('x') RETURNING code
INSERT INTO country (name) VALUES ('x') RETURNING *
REPLACE country (id, name) VALUES (1, 'x')
REPLACE LOW_PRIORITY INTO country SET id=1, code='x'
REPLACE INTO country SELECT id, name, code FROM country
REPLACE INTO country (id, name) SELECT id, email FROM author
REPLACE INTO country VALUES (1, 'x', 'y') RETURNING id
UPDATE country c, author a SET c.name=a.email WHERE a.country_id=c.id
UPDATE country c, author a SET c.code=a.email WHERE a.country_id=c.id
UPDATE country c, author a SET a.email=c.code WHERE a.country_id=c.id
UPDATE country c, author a SET email='x', code='y' WHERE a.country_id=c.id
UPDATE country c, author a SET email='x' WHERE a.country_id=c.id
UPDATE country c INNER JOIN author a USING (id) SET a.email='x'
UPDATE country c LEFT JOIN (SELECT country_id, MAX(name) AS n FROM author GROUP BY country_id) a ON a.country_id=c.id SET c.name=a.n
UPDATE country c LEFT JOIN (SELECT country_id, MAX(email) AS n FROM author GROUP BY country_id) a ON a.country_id=c.id SET c.name=a.n
UPDATE (country c JOIN author a ON a.country_id=c.id) SET c.name='x'
UPDATE country AS c SET c.name='code' WHERE c.id=1
UPDATE country SET name=DEFAULT(code)
UPDATE country SET `country`.`name`='x'
UPDATE country SET name='x' WHERE code='y' ORDER BY id LIMIT 2
UPDATE country SET name='x' ORDER BY code
UPDATE IGNORE country USE INDEX (PRIMARY) SET name='x'
UPDATE country, (SELECT 1 AS code) x SET name='x' WHERE x.code=1
UPDATE book b JOIN author a ON a.id=b.author_id JOIN country c ON c.id=a.country_id SET b.pages=1, a.email='x', c.name='y'
UPDATE book b JOIN author a ON a.id=b.author_id JOIN country c ON c.id=a.country_id SET b.pages=1, a.email='x', c.name=b.status
DELETE c FROM country c
DELETE c.* FROM country c, author a WHERE a.country_id=c.id
DELETE c, a FROM country c JOIN author a ON a.country_id=c.id
DELETE c FROM country AS c LEFT JOIN author a ON a.country_id=c.id WHERE a.name IS NULL
DELETE FROM c, a USING country c JOIN author a ON a.country_id=c.id
DELETE FROM c USING country c JOIN author a ON a.name=c.name
DELETE country FROM country INNER JOIN publisher ON publisher.country_id=country.id
DELETE country.* FROM country INNER JOIN publisher ON publisher.name=country.name
DELETE FROM country WHERE code='x' LIMIT 1
DELETE FROM country WHERE id=1 ORDER BY code LIMIT 1
DELETE FROM country WHERE id=9 RETURNING code
DELETE FROM country RETURNING id
DELETE LOW_PRIORITY QUICK IGNORE FROM country WHERE id=3
EXPLAIN EXTENDED SELECT code FROM country
EXPLAIN FORMAT=JSON SELECT name FROM country
EXPLAIN PARTITIONS SELECT name FROM country
DESCRIBE SELECT code FROM country
DESC SELECT name FROM country
ANALYZE SELECT name FROM country
ANALYZE FORMAT=JSON SELECT code FROM country
"""


def fixed(vendor: str) -> list[str]:
    """The forms that this database is asked for."""
    parts = {
        "sqlite": [_ANY, _STANDARD_QUOTES, _SQLITE],
        "postgresql": [_ANY, _STANDARD_QUOTES, _POSTGRESQL],
        "mysql": [_ANY, _MYSQL],
    }[vendor]
    return [line.replace("⏎", "\n").replace("⇥", "\t") for part in parts for line in part.strip().splitlines()]
