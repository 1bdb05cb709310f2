PRAGMA application_id = 1885954923;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'picktune','slates_and_decisions','2026-11-24 17:52:43.283729+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'picktune','hash_chain','2026-11-24 17:52:43.288623+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'picktune','decisions_with_scenario','2026-11-24 17:52:43.288919+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'picktune','signals_and_scores','2026-11-24 17:52:43.295125+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'picktune','revisions','2026-11-24 17:52:43.295716+00:00');
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
INSERT INTO "chains" VALUES('picks',8,X'2D97DFC06F4D3786CFCB6BF68F9856B7A66258EBCDAF8BC5649E25F019512825');
INSERT INTO "chains" VALUES('reactions',2,X'0B7DB427F10CF82F01C7183CC0C043D41C72AAA20D3BC04D29D8B1E4AA302306');
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
INSERT INTO "picks" VALUES(1,'slate-1','ann',1,'k1','chosen','reply-1-1','It''s on its way!','[]',NULL,'agent',900,1772367600000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'7EC67691C45A22D9888C206A8018404838E0577C4AC6AC4384AD5908271BD441',X'51E2734D46107899F791FA244FAE93F8',X'DC22745DB1F87A159156DA84C4F26C552841CB07BD7E50D89A61F9F9F21CF801',X'2497AADC4BF0F3BB29F428121820F93C',X'333CABD09FB7A9CAB09C8A09986BB61CCCA525548AA7AA7BFEB4FACF59861BAC');
INSERT INTO "picks" VALUES(2,'slate-2','ann',1,'k2','chosen','reply-2-0',NULL,'["polite"]','好','agent',NULL,1772367660000000,X'7EC67691C45A22D9888C206A8018404838E0577C4AC6AC4384AD5908271BD441',X'F181F7FCA977720BDC4DF6CA5E273661ED0851A6AB075E3AE0276619D5CC1A6E',X'F0F9182023A9FB6045B55D75B57BFD39',X'7995A9B0D5B76A029C4FD38CDAD5C02940A1ED97E825E9476A78C6D78BA25E29',X'72474D1206A0F39C0984C5CA3342DA44',X'F6B44F3FD765A85D1C605F6AC0F80757DA22E1F7359109E3E651DC87CB72F3B5');
INSERT INTO "picks" VALUES(3,'slate-2','ann',2,'k3','undone',NULL,NULL,'[]',NULL,'agent',NULL,1772367720000000,X'F181F7FCA977720BDC4DF6CA5E273661ED0851A6AB075E3AE0276619D5CC1A6E',X'4B6B3C9BFAB9111DC5B6A544CD3E288DDE9937DED3CBBD76ADE23583E2D8CE30',X'5B2861F4C1D3CCC5D80C895FB1D9DEC4',X'13633E852C20AC0B90BFA34CF2BFC52A3DEFD094385B0F1B947A895EFCD9C71F',X'B3DDE4CE01E5CE776C2387C7B3B7D607',X'8B7054C4985E66D36956BD7BE6F3957E4E9F6630DD5FCD68663E47BFC2EFE7D1');
INSERT INTO "picks" VALUES(4,'slate-2','ann',3,'k4','chosen','reply-2-3',NULL,'[]',NULL,'agent',NULL,1772367780000000,X'4B6B3C9BFAB9111DC5B6A544CD3E288DDE9937DED3CBBD76ADE23583E2D8CE30',X'5C8ACEF78741EA7215FDFCD1F6548A948AF12E584CDF20931F5A1938F5C0ED99',X'1255118F09FA5060BB5A04B9F3CB04EF',X'70A458091331B89FCB732201A0529160EBC03EFA8DCF541774406C0606D4538B',X'3A5F4A8EC5F74A5DEE551834C8EFBA27',X'88BECE90305ECAD9A0DA0C25CED9ECA7B5151E2E25B31D98524C1F18D24A5B26');
INSERT INTO "picks" VALUES(5,'slate-2','bob',1,'k5','none_good',NULL,NULL,'[]',NULL,'expert',NULL,1772367840000000,X'5C8ACEF78741EA7215FDFCD1F6548A948AF12E584CDF20931F5A1938F5C0ED99',X'D29004DBB7472F73AC8FE633F2DBF4E20182E8883BAAE729680BE0E1BB30C37E',X'76E71A47984F769EF579B81ABB0C4BB3',X'B1AEAC9A25695AEDD4C49875F7862432F556311F715558ECCF929483F6E8BBC3',X'754232D6BB8647E0E8607CD787C87561',X'2E38FE24D48E332F5CDAD607779019F2CCDDE5D94B9B7D06B75F99BD25BE8F5D');
INSERT INTO "picks" VALUES(6,'slate-3','ann',1,'k6','tie','reply-3-0',NULL,'[]',NULL,'agent',NULL,1772367900000000,X'D29004DBB7472F73AC8FE633F2DBF4E20182E8883BAAE729680BE0E1BB30C37E',X'5A6A177F09F67EABB7E587ABC5C8482B4CEAFA2944792BB1B405C37C990B6BA1',X'3E31835D29C1A643462A9676425C461C',X'0E3061BF083923D80916B01C9CAA8634B331A694141432E7FDD3D24029A01AA7',X'EE547BE108CB54DB8D381CC8CE1CEAE7',X'2DA6354B06A1A5384626AE4162AF25A6B5A6E773C165184C3B6F1A4E0E8A8D80');
INSERT INTO "picks" VALUES(7,'slate-4','ann',1,'k7','skip',NULL,NULL,'[]',NULL,'agent',NULL,1772367960000000,X'5A6A177F09F67EABB7E587ABC5C8482B4CEAFA2944792BB1B405C37C990B6BA1',X'A3D6DE42714693AACCA81B6D4BF6D28607D400944DF87A317C5C243A0ECE98C2',X'57C86376A2576AE6CBF7F2DDAD9EEDBA',X'B11BC89161380AB6ECC314BD8FC9BE05A312EDC106D98721EB6B79657F5CC150',X'E9AAD5F88C677EB4E9503F42D45D7F46',X'C3CE5E8252735C6C85BB83078000280E1B449C9294EBCB68ACE378C5B093321D');
INSERT INTO "picks" VALUES(8,'slate-5','ann',1,'k8','none_good',NULL,'Written by hand.','[]',NULL,'agent',NULL,1772368020000000,X'A3D6DE42714693AACCA81B6D4BF6D28607D400944DF87A317C5C243A0ECE98C2',X'2D97DFC06F4D3786CFCB6BF68F9856B7A66258EBCDAF8BC5649E25F019512825',X'6B1527ED58A5030D6BE18018FF6ABE3E',X'850813D9E6D10EB9D52914C0E08935140C47E95464E1E661DC266999DBE50789',X'E6929DDA25F253B45D1D1A3B589B8694',X'D0F21A7C81E6352E0D8760BDE8F8FD5E7E29DA01A60F0F8113948FEF962B070D');
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
INSERT INTO "reactions" VALUES(1,'slate-1','reply-1-1','customer 7','r1','up','[]',NULL,'user',1772368200000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'77249A80B1288F7446B62EE7699FA95AC7AD161C96E68D0E8DEDD23843B6ED4B',X'9F1E393554A72A4C967350620CF71466',X'FE1AD857EEAF74E46C613921ECCB0FC33E39A630381CF4DF574D290595FCEACA',X'80197838DD409CC231EBFF3E4221E653',X'807B4325201C42F66663A246247C6CBD19CD9E37AD5EB92BBAB01E9AC4DB87CA');
INSERT INTO "reactions" VALUES(2,'slate-1','reply-1-1','customer 7','r2','down','["wrong"]',NULL,'user',1772368200000000,X'77249A80B1288F7446B62EE7699FA95AC7AD161C96E68D0E8DEDD23843B6ED4B',X'0B7DB427F10CF82F01C7183CC0C043D41C72AAA20D3BC04D29D8B1E4AA302306',X'B7C3C8DEACEA1C093456A755F11D1C5F',X'43F3D001B4ACAE5AA09B375797CC50D6C001EFCEDC37FC6C111592B50C5CEA4E',X'D617AAE9584F6E5F051169A8790C46FB',X'FFC1C2E87F58098721EC3D998F17D6CEB728418F9BBDD6E7852F0315B1D37925');
CREATE TABLE revisions (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL) STRICT
;
INSERT INTO "revisions" VALUES(1,2);
CREATE TABLE scores (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    candidate_id TEXT NOT NULL REFERENCES candidates (id),
    annotator TEXT NOT NULL,
    scale TEXT NOT NULL,
    version INTEGER NOT NULL,
    key TEXT NOT NULL,
    value INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    comment TEXT,
    role TEXT NOT NULL,
    scored_at INTEGER NOT NULL,
    CHECK (low < high AND value BETWEEN low AND high),
    UNIQUE (candidate_id, annotator, scale, version),
    UNIQUE (slate_id, annotator, key)
) STRICT;
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
CREATE TABLE signals (
    id INTEGER PRIMARY KEY,
    slate_id TEXT NOT NULL REFERENCES slates (id),
    annotator TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('copied', 'visible', 'dwell', 'regenerated')),
    detail TEXT NOT NULL,
    role TEXT NOT NULL,
    noted_at INTEGER NOT NULL,
    UNIQUE (slate_id, annotator, key)
) STRICT;
CREATE TABLE slates (
    id TEXT PRIMARY KEY,
    turn_id TEXT NOT NULL REFERENCES turns (id),
    policy TEXT NOT NULL,
    seed INTEGER NOT NULL,
    complete INTEGER NOT NULL CHECK (complete IN (0, 1)),
    failures TEXT NOT NULL,
    created_at INTEGER NOT NULL
, salt BLOB, texts_hash BLOB, hash BLOB) STRICT;
INSERT INTO "slates" VALUES('slate-1','turn-1','2+2',1,1,'[]',1772366460000000,X'B3DD0392382E02844EC2F32C24188DC1',X'493B343EB61A037799E08521BCE2C1D24E3ACCDC6085622B8A75D2E14721E3FB',X'C1462F0EE04FC7A8BFCBA356C9085BF09F87419F7EB4DD2D856A7A18435E48C1');
INSERT INTO "slates" VALUES('slate-2','turn-2','2+2',2,1,'[]',1772366520000000,X'E40BBED74C1867C65E5EAE66B26E5D9F',X'2B735EF7A1BA472F228843B0670636F4756696438EDD0677FC6149777942B52F',X'D1F7B43CF642ED048F27A9CC8CCCADD3EEC5A6E6C5207A51FE313E62A73E8C72');
INSERT INTO "slates" VALUES('slate-3','turn-3','2+2',3,1,'[]',1772366580000000,X'C077033460F657F110ED92F9F39E15C8',X'99EC263DCEBD65E90CAD6FC9422E5678951A958EE8EF7BB5B90B7578419C35BE',X'E16AE17F353E9B497E207E89692B6DEF21C8E7729B053491A464E5AEB9B20C17');
INSERT INTO "slates" VALUES('slate-4','turn-4','2+2',4,0,'["champion: late"]',1772366640000000,X'33AFC9A25EBF03435388633EDBDB7B4E',X'56AC65112F907A44D2ECE9E133E15BDCA15520797C087B908B383DB40DA61525',X'0F1EFDD5F568DC75F4819F836DE0F309930C09CC7EFAC5B0634A6B5397E76B8C');
INSERT INTO "slates" VALUES('slate-5','turn-5','2+2',5,1,'[]',1772366700000000,X'CCC761E70B970928E368350257048B92',X'DB49E4B509A0A46798C4CCF08AB01751E2691A675EDA884AD153949DA3A293B4',X'87B761E5B7B1BA3CD27788E8A73D071574C1CF446739ADA97ADFF68A214F9649');
INSERT INTO "slates" VALUES('slate-6','turn-6','2+2',6,1,'[]',1772366760000000,X'A6D1B82A2F538DE1E305117EEFB76187',X'947A893B23C043FB7C6EE8C5DC4A3B464C4EE8E390F52BBB4EADF6B7C48B7439',X'40421CD180A9F63C0E66FEC0FC86E8D58F61EDF2BD0B26FE4C6E81419C566D77');
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
CREATE INDEX signals_by_kind ON signals (kind, noted_at);
CREATE INDEX scores_by_time ON scores (scored_at);
CREATE TRIGGER signals_are_never_changed BEFORE UPDATE ON signals
WHEN NEW.annotator NOT LIKE 'erased-%' OR NEW.id <> OLD.id OR NEW.slate_id <> OLD.slate_id
    OR NEW.kind <> OLD.kind OR NEW.detail <> OLD.detail OR NEW.role <> OLD.role
    OR NEW.noted_at <> OLD.noted_at
BEGIN SELECT raise(ABORT, 'signals are append only: note a new one instead of changing one'); END;
CREATE TRIGGER signals_are_never_deleted BEFORE DELETE ON signals
WHEN EXISTS (SELECT 1 FROM picks p WHERE p.slate_id = OLD.slate_id)
    OR EXISTS (SELECT 1 FROM reactions r WHERE r.slate_id = OLD.slate_id)
    OR EXISTS (SELECT 1 FROM scores c WHERE c.slate_id = OLD.slate_id)
BEGIN SELECT raise(ABORT, 'signals on a slate that was decided on are evidence, and stay'); END;
CREATE TRIGGER signals_are_never_replaced BEFORE INSERT ON signals
WHEN EXISTS (SELECT 1 FROM signals WHERE id = NEW.id) OR EXISTS (
        SELECT 1 FROM signals
        WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'signals are append only: a key is used once'); END;
CREATE TRIGGER scores_are_never_changed BEFORE UPDATE ON scores
WHEN NEW.annotator NOT LIKE 'erased-%' OR NEW.comment IS NOT NULL OR NEW.id <> OLD.id
    OR NEW.slate_id <> OLD.slate_id OR NEW.candidate_id <> OLD.candidate_id OR NEW.scale <> OLD.scale
    OR NEW.version <> OLD.version OR NEW.value <> OLD.value OR NEW.low <> OLD.low OR NEW.high <> OLD.high
    OR NEW.role <> OLD.role OR NEW.scored_at <> OLD.scored_at
BEGIN SELECT raise(ABORT, 'scores are append only: give a new version instead of changing one'); END;
CREATE TRIGGER scores_are_never_deleted BEFORE DELETE ON scores
BEGIN SELECT raise(ABORT, 'scores are append only: give a new version instead of deleting one'); END;
CREATE TRIGGER scores_are_never_replaced BEFORE INSERT ON scores
WHEN NEW.version <> 1 + (
        SELECT coalesce(max(version), 0) FROM scores
        WHERE candidate_id = NEW.candidate_id AND annotator = NEW.annotator AND scale = NEW.scale)
    OR EXISTS (SELECT 1 FROM scores WHERE id = NEW.id)
    OR EXISTS (
        SELECT 1 FROM scores WHERE slate_id = NEW.slate_id AND annotator = NEW.annotator AND key = NEW.key)
BEGIN SELECT raise(ABORT, 'scores are append only: versions count from 1 and a key is used once'); END;
CREATE VIEW standing_scores AS
SELECT s.* FROM scores s WHERE NOT EXISTS (
    SELECT 1 FROM scores n WHERE n.candidate_id = s.candidate_id AND n.annotator = s.annotator
        AND n.scale = s.scale AND n.version > s.version);
CREATE VIEW edit_preferences AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, t.messages, p.edited_text AS chosen,
    c.text AS rejected, c.arm, c.also, c.model, p.annotator, p.role, t.tags, t.locale, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
JOIN candidates c ON c.id = p.candidate_id
WHERE p.edited_text IS NOT NULL AND p.edited_text <> c.text;
CREATE TRIGGER changed_picks_make_a_revision AFTER UPDATE ON picks
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER lost_picks_make_a_revision AFTER DELETE ON picks
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_exposures_make_a_revision AFTER UPDATE ON exposures
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_turns_make_a_revision AFTER UPDATE OF tags, locale, conversation_id ON turns
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_candidates_make_a_revision AFTER UPDATE OF arm, also, model ON candidates
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER new_aliases_make_a_revision AFTER INSERT ON alias_changes
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_aliases_make_a_revision AFTER UPDATE ON alias_changes
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER lost_aliases_make_a_revision AFTER DELETE ON alias_changes
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER late_conversations_make_a_revision AFTER INSERT ON conversations WHEN NEW.scenario IS NOT NULL AND EXISTS (SELECT 1 FROM turns WHERE conversation_id = NEW.id)
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER changed_conversations_make_a_revision AFTER UPDATE OF scenario ON conversations
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
CREATE TRIGGER lost_conversations_make_a_revision AFTER DELETE ON conversations
BEGIN UPDATE revisions SET number = number + 1 WHERE id = 1; END;
COMMIT;
