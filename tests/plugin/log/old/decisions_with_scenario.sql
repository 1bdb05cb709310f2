PRAGMA application_id = 1885954923;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'picktune','slates_and_decisions','2026-11-24 17:52:06.757947+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'picktune','hash_chain','2026-11-24 17:52:06.763225+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'picktune','decisions_with_scenario','2026-11-24 17:52:06.763558+00:00');
CREATE TABLE adapters (
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    version TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (name, sha256)
) STRICT, WITHOUT ROWID;
CREATE TABLE alias_changes (
    id INTEGER PRIMARY KEY,
    champion TEXT,
    challenger TEXT,
    seen_at INTEGER NOT NULL
) STRICT;
INSERT INTO "alias_changes" VALUES(1,'2026-02-27-1',NULL,1772366400000000);
CREATE TABLE candidates (
    slate_id TEXT NOT NULL REFERENCES slates (id),
    place INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    arm TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT,
    text TEXT NOT NULL,
    position INTEGER NOT NULL,
    propensity REAL NOT NULL,
    tokens INTEGER NOT NULL,
    latency REAL NOT NULL,
    finish_reason TEXT NOT NULL,
    also TEXT NOT NULL,
    PRIMARY KEY (slate_id, place)
) STRICT, WITHOUT ROWID;
INSERT INTO "candidates" VALUES('slate-1',0,'reply-1-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-1',1,'reply-1-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-1',2,'reply-1-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-1',3,'reply-1-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-2',0,'reply-2-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-2',1,'reply-2-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-2',2,'reply-2-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-2',3,'reply-2-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-3',0,'reply-3-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','["champion"]');
INSERT INTO "candidates" VALUES('slate-3',1,'reply-3-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-3',2,'reply-3-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-3',3,'reply-3-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-4',0,'reply-4-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-4',1,'reply-4-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-4',2,'reply-4-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-4',3,'reply-4-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-5',0,'reply-5-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-5',1,'reply-5-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-5',2,'reply-5-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-5',3,'reply-5-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-6',0,'reply-6-0','base','base',NULL,'It is on its way.',0,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-6',1,'reply-6-1','champion','champion','2026-02-27-1','请稍等，我查一下。',1,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-6',2,'reply-6-2','base','base',NULL,'Please give me
the order number.',2,0.25,7,0.5,'stop','[]');
INSERT INTO "candidates" VALUES('slate-6',3,'reply-6-3','champion','champion','2026-02-27-1','It''s "late"; sorry.',3,0.25,7,0.5,'stop','[]');
CREATE TABLE chains (name TEXT PRIMARY KEY, length INTEGER NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID
;
INSERT INTO "chains" VALUES('picks',8,X'0EF84261B7531DA7E3D3B8C166633D8BF7EC2E765FD9945D20C1A9D7F1B8A0AC');
INSERT INTO "chains" VALUES('reactions',2,X'C0352ECDE3A8FD4138D1A9FA1727BFC317C6EB8BE81456C490BC0833FEE21971');
CREATE TABLE checks (id INTEGER PRIMARY KEY CHECK (id = 1), checked INTEGER NOT NULL) STRICT;
CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    locale TEXT NOT NULL,
    scenario TEXT,
    tags TEXT NOT NULL,
    messages TEXT NOT NULL,
    pending TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'closed')),
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
INSERT INTO "conversations" VALUES('talk-1','Order 1','en','refund','[]','[{"role":"user","content":"Where is order 1? 在哪里？"}]','["Thanks."]','open','api',1772366400000000,1772367600000000);
INSERT INTO "conversations" VALUES('talk-2','Order 2','en',NULL,'[]','[{"role":"user","content":"Where is order 2? 在哪里？"}]','[]','closed','api',1772366400000000,1772367780000000);
INSERT INTO "conversations" VALUES('talk-3','Order 3','en','refund','[]','[{"role":"user","content":"Where is order 3? 在哪里？"}]','[]','closed','api',1772366400000000,1772367900000000);
INSERT INTO "conversations" VALUES('talk-4','Order 4','en',NULL,'[]','[{"role":"user","content":"Where is order 4? 在哪里？"}]','[]','open','api',1772366400000000,1772366400000000);
INSERT INTO "conversations" VALUES('talk-5','Order 5','en','refund','[]','[{"role":"user","content":"Where is order 5? 在哪里？"}]','[]','closed','api',1772366400000000,1772368020000000);
INSERT INTO "conversations" VALUES('talk-6','Order 6','en',NULL,'[]','[{"role":"user","content":"Where is order 6? 在哪里？"}]','[]','open','api',1772366400000000,1772366400000000);
CREATE TABLE exposures (
    slate_id TEXT NOT NULL REFERENCES slates (id),
    viewer TEXT NOT NULL,
    places TEXT NOT NULL,
    shown_at INTEGER NOT NULL,
    PRIMARY KEY (slate_id, viewer)
) STRICT, WITHOUT ROWID;
INSERT INTO "exposures" VALUES('slate-1','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-1','bob','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-2','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-2','bob','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-3','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-3','bob','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-4','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-4','bob','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-5','ann','[2,0,3,1]',1772367000000000);
INSERT INTO "exposures" VALUES('slate-5','bob','[2,0,3,1]',1772367000000000);
CREATE TABLE picks (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    annotator TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('chosen', 'tie', 'none_good', 'skip', 'undone')),
    candidate_id TEXT REFERENCES candidates (id),
    edited_text TEXT,
    reasons TEXT NOT NULL,
    comment TEXT,
    role TEXT NOT NULL,
    dwell_ms INTEGER,
    decided_at INTEGER NOT NULL, previous BLOB, hash BLOB, who_salt BLOB, who_hash BLOB, texts_salt BLOB, texts_hash BLOB,
    UNIQUE (slate_id, annotator, version),
    UNIQUE (slate_id, annotator, key),
    FOREIGN KEY (slate_id, annotator) REFERENCES exposures (slate_id, viewer)
) STRICT;
INSERT INTO "picks" VALUES(1,'slate-1','ann',1,'k1','chosen','reply-1-1','It''s on its way!','[]',NULL,'agent',900,1772367600000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'BEECE059DE499208E2404FDDF470EE173047DA98200FF4D935B25707BB6CFFD3',X'A6131F46D80AC3BE59B0FF0D587CA572',X'A9537F48CFEC970AF2229B186926A192075B5126B5C9A50C350A8947108FA329',X'C24BF8CD8C70B4A61ADBBBA446154589',X'4A37BB3E55F90E0A54A622A8A57F95920C21FA2D6E2137403E472D7B58B142C5');
INSERT INTO "picks" VALUES(2,'slate-2','ann',1,'k2','chosen','reply-2-0',NULL,'["polite"]','好','agent',NULL,1772367660000000,X'BEECE059DE499208E2404FDDF470EE173047DA98200FF4D935B25707BB6CFFD3',X'D1A5C0C2C847A80921227FF8A221E32D5AC80250F02781C4A3A3E3C4DA5E76BA',X'99688027D94FC500A9094825EC567A70',X'F2309319C5C6D3A74966A94C2476F2018385981BB1ADDB0404B04579341A3374',X'B2210ADFDC0168FC5E68BE47C3C93BA1',X'7B152AEB88251BE8FD9FAC4194FCF94288ED3A63A68A2041159C6D619CDFEAD3');
INSERT INTO "picks" VALUES(3,'slate-2','ann',2,'k3','undone',NULL,NULL,'[]',NULL,'agent',NULL,1772367720000000,X'D1A5C0C2C847A80921227FF8A221E32D5AC80250F02781C4A3A3E3C4DA5E76BA',X'4AA443FD797DEF86D8556F98FA00A3250CEB128595E241A25F27D334D2E1FF59',X'64B35F7EBF2FD80FC5AEDB6CA0B08088',X'35453F0B9840FA5C3B9FC6216BF634F4C7BBA303CDF697D2829F6F3550695772',X'2C642F964E2E8126497D04B7DD3076DD',X'56755AA835579ECEBA48B730C3367CA70A9F528D25D88F3545FD514FA6F748F8');
INSERT INTO "picks" VALUES(4,'slate-2','ann',3,'k4','chosen','reply-2-3',NULL,'[]',NULL,'agent',NULL,1772367780000000,X'4AA443FD797DEF86D8556F98FA00A3250CEB128595E241A25F27D334D2E1FF59',X'2EB1992F6E0541BFE5F7171E44D461B9783561EE8947928E7143A9032D494875',X'391808B611D9302F4CD323F0260163B2',X'0371DC25579F49B57F0B42F5473F67BE082B8EC94DEAD5DD2CA3F1E5D10888C4',X'BF7E8032817F0276A7CF9CC151CA2580',X'B9EB2F8DB3C0925898ECB513512BABE89721779E48A851614AD499E2F8E61981');
INSERT INTO "picks" VALUES(5,'slate-2','bob',1,'k5','none_good',NULL,NULL,'[]',NULL,'expert',NULL,1772367840000000,X'2EB1992F6E0541BFE5F7171E44D461B9783561EE8947928E7143A9032D494875',X'AE58AF2613E736631C9871DD0EED289C899CCDE0F912BA90D39E16CFD28A55AC',X'07305D4D346EC68AD27C8EE6593CA6C9',X'F6DAD75730DD10A654C1F094D811FEEB8C43014294EC5C5825536EBF1D397340',X'797C6556A9431641A0411D3572282121',X'95324B9EF30F1698596FC09D59FECF9A0BAA97ACD59E80CDC9660CB86AD3D033');
INSERT INTO "picks" VALUES(6,'slate-3','ann',1,'k6','tie','reply-3-0',NULL,'[]',NULL,'agent',NULL,1772367900000000,X'AE58AF2613E736631C9871DD0EED289C899CCDE0F912BA90D39E16CFD28A55AC',X'8015FDC5B32362F6AE391C4260E7AC09390338349CF3F7B4E3C27313498BD965',X'C94FED529453E84D6CB708A5B2742A59',X'A9500C32DB977108EEBDE7C10FB9CD2AF028378EAB8277EC8885ABA5EE093F9E',X'985A0564E27D69B6F8D819D1147074F0',X'4A724BCA20C4BAE1F5B1E9DA5C9B618A265E224CAF5BFF8D68B3B8088ADBB6FE');
INSERT INTO "picks" VALUES(7,'slate-4','ann',1,'k7','skip',NULL,NULL,'[]',NULL,'agent',NULL,1772367960000000,X'8015FDC5B32362F6AE391C4260E7AC09390338349CF3F7B4E3C27313498BD965',X'14935712AAC9B71483626D24A1DB68D15B8ACB6392905AD6B0A01BBF3111D4DE',X'F36BE0DB0F656028B4FAEC0A1FA30D6A',X'8AF34A5570A710EE7DD1923F4972D4D77241D8C9811D1CE5A0A4EDABDFFC3955',X'821754D2B7A327B58B419093CB4F159A',X'691D04B02A3DFE57C5812504AE2FE3E794976FAAA6531DC05A3F091ACE8FB01D');
INSERT INTO "picks" VALUES(8,'slate-5','ann',1,'k8','none_good',NULL,'Written by hand.','[]',NULL,'agent',NULL,1772368020000000,X'14935712AAC9B71483626D24A1DB68D15B8ACB6392905AD6B0A01BBF3111D4DE',X'0EF84261B7531DA7E3D3B8C166633D8BF7EC2E765FD9945D20C1A9D7F1B8A0AC',X'10D23701ACA4B35BA6439C12E82FAB9F',X'090A934DB74AF4620890950C5039F5EFA8B7E950019EA4CC2177C007222316DF',X'07D40D5723440E446B6E111F7144D134',X'D9227B5D7F020083C3E1FB44ED7C53717DB26B93FAA84F73131BC35CEF56ADF7');
CREATE TABLE reactions (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    candidate_id TEXT NOT NULL REFERENCES candidates (id),
    annotator TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL CHECK (value IN ('up', 'down')),
    reasons TEXT NOT NULL,
    comment TEXT,
    role TEXT NOT NULL,
    reacted_at INTEGER NOT NULL, previous BLOB, hash BLOB, who_salt BLOB, who_hash BLOB, texts_salt BLOB, texts_hash BLOB,
    UNIQUE (slate_id, annotator, key)
) STRICT;
INSERT INTO "reactions" VALUES(1,'slate-1','reply-1-1','customer 7','r1','up','[]',NULL,'user',1772368200000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'A15ADD07D4D610A6CAEEEC8273A2C6B1AAE10090A398419A5243AC8B311021FA',X'0474F9349B4F94051C99084072759BCD',X'198FB2A166DE28158152F4DD9BAB625AA0F0DDC11930C3EB672E4FAAA804ACDB',X'D30EA925C59916E3C72C0926AB071480',X'A682D35EE9C30981BF9D5D96799FAEF5A901859D1BA31D0AA778062FC70C3DAD');
INSERT INTO "reactions" VALUES(2,'slate-1','reply-1-1','customer 7','r2','down','["wrong"]',NULL,'user',1772368200000000,X'A15ADD07D4D610A6CAEEEC8273A2C6B1AAE10090A398419A5243AC8B311021FA',X'C0352ECDE3A8FD4138D1A9FA1727BFC317C6EB8BE81456C490BC0833FEE21971',X'08109B0835828ED749D8A11C7A75FAC8',X'0E86C5BD438B4E4E1784CCE66CA1813F5A3DB34CC32BB54BA2B5FC555DAC35F1',X'F54F17E9A477AA00B2DAC992D3A0B6CE',X'C12A7507BA5FE0DE1C00DE70734CE254DE3BA7F091DAB962554FEFCE242AE096');
CREATE TABLE sent_replies (
    pick_id INTEGER PRIMARY KEY REFERENCES picks (id),
    conversation_id TEXT NOT NULL REFERENCES conversations (id),
    place INTEGER NOT NULL,
    taken_back_by INTEGER REFERENCES picks (id)
) STRICT;
INSERT INTO "sent_replies" VALUES(1,'talk-1',0,NULL);
INSERT INTO "sent_replies" VALUES(2,'talk-2',0,3);
INSERT INTO "sent_replies" VALUES(4,'talk-2',0,NULL);
INSERT INTO "sent_replies" VALUES(6,'talk-3',0,NULL);
INSERT INTO "sent_replies" VALUES(8,'talk-5',0,NULL);
CREATE TABLE slates (
    id TEXT PRIMARY KEY,
    turn_id TEXT NOT NULL REFERENCES turns (id),
    policy TEXT NOT NULL,
    seed INTEGER NOT NULL,
    complete INTEGER NOT NULL CHECK (complete IN (0, 1)),
    failures TEXT NOT NULL,
    created_at INTEGER NOT NULL
, salt BLOB, texts_hash BLOB, hash BLOB) STRICT;
INSERT INTO "slates" VALUES('slate-1','turn-1','2+2',1,1,'[]',1772366460000000,X'B08BB0B48D9714AFAD75C7A574E6CAD3',X'3767ADDB6D922616F44F9431C89A241D12A2D2C6F7943F083264CB543F800BE2',X'4BE4E8C83664D479F45516C893629124CDFCD70FB6DA703D9D3AD2F92DC6742A');
INSERT INTO "slates" VALUES('slate-2','turn-2','2+2',2,1,'[]',1772366520000000,X'80D806AC5DA2DF29591764DF2A92753F',X'9633C2CBDBED3C3FDBC180D779D0F2B4E1C723F4E012D6E3AB65CEAD9D601F4B',X'89B565A9C7A048A3153CCFE57A97DDF6E1FE54C26944EBE73AC8E87F0806041B');
INSERT INTO "slates" VALUES('slate-3','turn-3','2+2',3,1,'[]',1772366580000000,X'9551209A804407425D2C6768A818C8FE',X'CDD5D62F027472AA4B26931914861D4234941A0DA4B449B1E8C186FEFF865468',X'49C1A05D6E3A02851A30BE8E966389B934B45CFF216F7A22117108561E0D4C2A');
INSERT INTO "slates" VALUES('slate-4','turn-4','2+2',4,0,'["champion: late"]',1772366640000000,X'A334C73AF4F4FF51F82794F5101E465F',X'869C70D3C6ED45C897DAB46E918B312BA2F9EE8E392E84E2BEAF286368A6A2BA',X'FEA70596FAC97DDC44EF8CACFB57ECAE2F7D66399FB2F91364F420F84E311864');
INSERT INTO "slates" VALUES('slate-5','turn-5','2+2',5,1,'[]',1772366700000000,X'FD49F656F023139090F618E416FB2E85',X'DC7D5B698CB819BF91C61E30CD764C1708EEBCA7FFF5AC25CD55F28E7F562294',X'22A90AC8D09442E8FA2A63CB706416F999F36FB4C78EDF5F81BBE47552AB0CC2');
INSERT INTO "slates" VALUES('slate-6','turn-6','2+2',6,1,'[]',1772366760000000,X'1AE4F325F7F31B184624333529A21C36',X'420C3E506E39B940BF619BF540BE31D956D34D809A50948E8B4C6968582A62E5',X'34064A25D20A59722FBCC9C7783DE51C1DF4EA09FB0220D00A4790530A6FA1B9');
CREATE TABLE turns (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL,
    messages TEXT NOT NULL,
    user_ref TEXT,
    tags TEXT NOT NULL,
    locale TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO "turns" VALUES('turn-1','talk-1','[{"role":"user","content":"Where is order 1? 在哪里？"}]','customer 7','["refund","vip"]','en',1772366460000000);
INSERT INTO "turns" VALUES('turn-2','talk-2','[{"role":"user","content":"Where is order 2? 在哪里？"}]','customer 7','[]','zh-CN',1772366520000000);
INSERT INTO "turns" VALUES('turn-3','talk-3','[{"role":"user","content":"Where is order 3? 在哪里？"}]','customer 7','["refund","vip"]','en',1772366580000000);
INSERT INTO "turns" VALUES('turn-4','talk-4','[{"role":"user","content":"Where is order 4? 在哪里？"}]','customer 7','[]','en',1772366640000000);
INSERT INTO "turns" VALUES('turn-5','talk-5','[{"role":"user","content":"Where is order 5? 在哪里？"}]','customer 7','["refund","vip"]','en',1772366700000000);
INSERT INTO "turns" VALUES('turn-6','talk-6','[{"role":"user","content":"Where is order 6? 在哪里？"}]','customer 7','[]','en',1772366760000000);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX turns_by_conversation ON turns (conversation_id);
CREATE INDEX slates_by_turn ON slates (turn_id, created_at);
CREATE INDEX picks_by_time ON picks (decided_at);
CREATE INDEX conversations_by_update ON conversations (updated_at, id);
CREATE INDEX conversations_by_status ON conversations (status, updated_at, id);
CREATE INDEX conversations_by_locale ON conversations (status, locale, updated_at, id);
CREATE UNIQUE INDEX sent_replies_that_stand ON sent_replies (conversation_id, place)
WHERE taken_back_by IS NULL;
CREATE INDEX alias_changes_by_time ON alias_changes (seen_at);
CREATE TRIGGER picks_are_never_deleted BEFORE DELETE ON picks
BEGIN SELECT raise(ABORT, 'picks are append only: record an undone version instead of deleting one'); END;
CREATE TRIGGER picks_are_never_replaced BEFORE INSERT ON picks
WHEN NEW.version <> 1 + (
        SELECT coalesce(max(version), 0) FROM picks
        WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator)
    OR EXISTS (SELECT 1 FROM picks WHERE id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM picks WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'picks are append only: versions count from 1 and a key is used once'); END;
CREATE VIEW standing_picks AS
SELECT p.id, p.slate_id, p.annotator, p.version, p.key, p.verdict, p.candidate_id, p.edited_text, p.reasons,
    p.comment, p.role, p.dwell_ms, p.decided_at
FROM picks p
WHERE p.verdict <> 'undone' AND NOT EXISTS (
    SELECT 1 FROM picks n
    WHERE n.slate_id = p.slate_id AND n.annotator = p.annotator AND n.version > p.version);
CREATE VIEW shown AS
SELECT e.slate_id, e.viewer, o.key AS position, c.id AS candidate_id, c.arm, c.kind, c.model, c.also, c.text
FROM exposures e CROSS JOIN json_each(e.places) o
CROSS JOIN candidates c ON c.slate_id = e.slate_id AND c.place = o.value;
CREATE VIEW sent AS
SELECT r.conversation_id, r.place, r.pick_id, p.slate_id, p.annotator, p.decided_at,
    coalesce(p.edited_text, c.text) AS text
FROM sent_replies r JOIN picks p ON p.id = r.pick_id LEFT JOIN candidates c ON c.id = p.candidate_id
WHERE r.taken_back_by IS NULL;
CREATE VIEW choice_sets AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, t.messages,
    (SELECT json_group_array(text) FROM (
        SELECT w.text FROM shown w WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator
        ORDER BY w.position)) AS replies,
    (SELECT w.position FROM shown w WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator
        AND w.candidate_id = p.candidate_id) AS chosen,
    p.annotator, p.role, t.tags, t.locale, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
WHERE p.verdict = 'chosen' AND (SELECT count(*) FROM candidates c WHERE c.slate_id = p.slate_id) >= 2;
CREATE VIEW preferences AS
SELECT p.id AS pick_id, p.slate_id, t.messages, c.text AS chosen, w.text AS rejected, w.position,
    p.annotator, p.role, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
JOIN candidates c ON c.id = p.candidate_id
JOIN shown w ON w.slate_id = p.slate_id AND w.viewer = p.annotator AND w.candidate_id <> p.candidate_id
WHERE p.verdict = 'chosen';
CREATE VIEW demonstrations AS
SELECT p.id AS pick_id, p.slate_id, t.messages, p.edited_text AS completion, p.annotator, p.role, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
LEFT JOIN candidates c ON c.id = p.candidate_id
WHERE p.edited_text IS NOT NULL AND p.edited_text IS NOT c.text;
CREATE TRIGGER picks_are_never_changed BEFORE UPDATE ON picks
BEGIN SELECT raise(ABORT, 'picks are append only: record a new version instead of changing one'); END;
CREATE TRIGGER slates_are_sealed BEFORE INSERT ON slates
WHEN NEW.salt IS NULL OR NEW.texts_hash IS NULL OR NEW.hash IS NULL
BEGIN SELECT raise(ABORT, 'slates are sealed by a hash: let a Picktune of this version write them'); END;
CREATE TRIGGER reactions_are_never_changed BEFORE UPDATE ON reactions
BEGIN SELECT raise(ABORT, 'reactions are append only: record another one instead of changing one'); END;
CREATE TRIGGER reactions_are_never_deleted BEFORE DELETE ON reactions
BEGIN SELECT raise(ABORT, 'reactions are append only: none is deleted'); END;
CREATE TRIGGER reactions_are_never_replaced BEFORE INSERT ON reactions
WHEN EXISTS (SELECT 1 FROM reactions WHERE id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM reactions
        WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'reactions are append only: a key is used once'); END;
CREATE TRIGGER picks_continue_the_chain BEFORE INSERT ON picks
WHEN NEW.id <> 1 + (SELECT coalesce(max(id), 0) FROM picks)
    OR NEW.previous IS NOT (SELECT hash FROM chains WHERE name = 'picks')
    OR NEW.hash IS NULL OR NEW.who_salt IS NULL OR NEW.who_hash IS NULL
    OR NEW.texts_salt IS NULL OR NEW.texts_hash IS NULL
BEGIN SELECT raise(ABORT, 'picks are append only: let a Picktune of this version continue their chain'); END;
CREATE TRIGGER picks_move_the_head AFTER INSERT ON picks
BEGIN UPDATE chains SET length = length + 1, hash = NEW.hash WHERE name = 'picks'; END;
CREATE TRIGGER reactions_continue_the_chain BEFORE INSERT ON reactions
WHEN NEW.id <> 1 + (SELECT coalesce(max(id), 0) FROM reactions)
    OR NEW.previous IS NOT (SELECT hash FROM chains WHERE name = 'reactions')
    OR NEW.hash IS NULL OR NEW.who_salt IS NULL OR NEW.who_hash IS NULL
    OR NEW.texts_salt IS NULL OR NEW.texts_hash IS NULL
BEGIN SELECT raise(ABORT, 'reactions are append only: let a Picktune of this version continue their chain'); END;
CREATE TRIGGER reactions_move_the_head AFTER INSERT ON reactions
BEGIN UPDATE chains SET length = length + 1, hash = NEW.hash WHERE name = 'reactions'; END;
CREATE VIEW decisions AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, p.annotator, p.role, p.verdict, s.complete, t.tags,
    t.locale, p.decided_at,
    (SELECT json_group_array(json(one)) FROM (
        SELECT json_array(w.arm, json(w.also), w.model, w.candidate_id IS p.candidate_id) AS one FROM shown w
        WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator ORDER BY w.position)) AS candidates,
    (SELECT json_array(a.champion, a.challenger) FROM alias_changes a WHERE a.seen_at <= s.created_at
        ORDER BY a.seen_at DESC, a.id DESC LIMIT 1) AS aliases,
    (SELECT v.scenario FROM conversations v WHERE v.id = t.conversation_id) AS scenario
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id;
COMMIT;
