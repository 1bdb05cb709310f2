PRAGMA application_id = 1885954923;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'picktune','slates_and_decisions','2026-11-24 18:12:44.936952+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'picktune','hash_chain','2026-11-24 18:12:44.942242+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'picktune','decisions_with_scenario','2026-11-24 18:12:44.946717+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'picktune','signals_and_scores','2026-11-24 18:12:44.953303+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'picktune','revisions','2026-11-24 18:12:44.953883+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'picktune','campaigns_and_their_slates','2026-11-24 18:12:44.959595+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'picktune','gate','2026-11-24 18:12:44.960137+00:00');
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
CREATE TABLE campaign_closings (
    name TEXT PRIMARY KEY REFERENCES campaigns (name),
    closed_at INTEGER NOT NULL,
    closed_by TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE campaign_slates (
    slate_id TEXT PRIMARY KEY REFERENCES slates (id),
    campaign TEXT NOT NULL REFERENCES campaigns (name)
) STRICT, WITHOUT ROWID;
CREATE TABLE campaigns (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
INSERT INTO "chains" VALUES('picks',8,X'0C80BE4A4F0361677390501FEF195B25349FB5142FA6C47EF574432A0BC82A6B');
INSERT INTO "chains" VALUES('reactions',2,X'5ACE795D1CE116E468654D822B757A08025FE8722FF9DA1E500CAB7A904C62F8');
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
CREATE TABLE gate_decisions (
    id INTEGER PRIMARY KEY,
    action TEXT NOT NULL,
    adapter TEXT,
    by TEXT NOT NULL CHECK (trim(by) <> ''),
    reason TEXT NOT NULL CHECK (trim(reason) <> ''),
    champion TEXT,
    challenger TEXT,
    share REAL,
    figures TEXT NOT NULL,
    decided_at INTEGER NOT NULL
) STRICT
;
CREATE TABLE gate_outcomes (
    decision_id INTEGER PRIMARY KEY REFERENCES gate_decisions (id),
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'failed', 'abandoned')),
    note TEXT NOT NULL,
    settled_at INTEGER NOT NULL
) STRICT
;
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
INSERT INTO "picks" VALUES(1,'slate-1','ann',1,'k1','chosen','reply-1-1','It''s on its way!','[]',NULL,'agent',900,1772367600000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'3496BEA0317F3814C7437F6614D25E6FC65414BD73551E612DE4E1F431BBB4E8',X'66A59E14D2CF8F2E40D243FC450C087F',X'494996C26DA34C8AD6DFD31517D4E4E77460331FB82F5FB047197B1FEE297029',X'ADD7DC68B1B026DD9948DA52F873117D',X'8EC1D8720D7B40FD744BE9D356B664391361A19822D49B7F3F34BD11FB0BF8EC');
INSERT INTO "picks" VALUES(2,'slate-2','ann',1,'k2','chosen','reply-2-0',NULL,'["polite"]','好','agent',NULL,1772367660000000,X'3496BEA0317F3814C7437F6614D25E6FC65414BD73551E612DE4E1F431BBB4E8',X'828CD17EA1A199C62795F88ACD95F4593CC8DF3F1DE0530FE9747FDDB7457279',X'F1A280803135142D43DCC3036504B569',X'EFF0AB85BCA78EB1916BF9EDED636FF96FF309507B22545B662E3B54052A78A9',X'DFE4A1289C5A6E0E1CAC017AFD193554',X'EACA58FF5910317D686ED56ECA892681D0D41B3435FD490AA29DEA5ACD922A6C');
INSERT INTO "picks" VALUES(3,'slate-2','ann',2,'k3','undone',NULL,NULL,'[]',NULL,'agent',NULL,1772367720000000,X'828CD17EA1A199C62795F88ACD95F4593CC8DF3F1DE0530FE9747FDDB7457279',X'51285B2FD8B804E3850CEC9ED1D174A9F3261484F68DB6BDF519E90B249A9885',X'DD75E30CCD0855773F392346EEE480C4',X'E92304E102C735FBDA5EA56421E28A9DD4AC9A1719CC24D36D31DFC873542289',X'2FAC9A30BD46EE1D817184B942790B93',X'99EB6ED340649623CBC490CAE33BDE66F373D888F87659571BCE3121EE1F080F');
INSERT INTO "picks" VALUES(4,'slate-2','ann',3,'k4','chosen','reply-2-3',NULL,'[]',NULL,'agent',NULL,1772367780000000,X'51285B2FD8B804E3850CEC9ED1D174A9F3261484F68DB6BDF519E90B249A9885',X'F1341C4FEF064D0367E66D802173ED6A82B5FCC41186145D21B6DE0423916FDB',X'434A58BEAEAE65ADB66DD54C6BAEFCDA',X'FF0F46CFEEB239DBCE244B9532BF961689352D0EB30DB3DA362FF4171D051CE6',X'083AEC789BB9A068558BA8B823D8B99B',X'490330B398DB46325864C86FEF7F79A80CDC76150C5D64291664E9C25D65A75F');
INSERT INTO "picks" VALUES(5,'slate-2','bob',1,'k5','none_good',NULL,NULL,'[]',NULL,'expert',NULL,1772367840000000,X'F1341C4FEF064D0367E66D802173ED6A82B5FCC41186145D21B6DE0423916FDB',X'885D5F45F1D86DDE5AE07F9B442A6CE85117D66D7C641D352EE02315C4C13AC8',X'30DE8F5BE55ED41DE45BD40299337D27',X'7CD87D0EDCCA85607BE4AD87EE9E754DAFDAE6FBA0D469441E60563BB07428D0',X'6661F68B299615A28A9CF40231C1AA40',X'D72BC46C69FA5E6C8419713FFE69EE88E745F08C26C6462FDE72C4C052BF0D22');
INSERT INTO "picks" VALUES(6,'slate-3','ann',1,'k6','tie','reply-3-0',NULL,'[]',NULL,'agent',NULL,1772367900000000,X'885D5F45F1D86DDE5AE07F9B442A6CE85117D66D7C641D352EE02315C4C13AC8',X'E97390A11104CDAA5C574CA4700A59E23467B520BD8CC07A6EC276094FFC6718',X'D8D254AE7E2A987EFC9BF67A0DDD4989',X'3F4197682839701B675F7298436098F594E1503C76F03A54B2D3C6D95815EA09',X'731CDC3B045FA6E8D614B7E4481062B9',X'685BA0844D7E64BD63B61AB2B6654255AF16A48306BEA87FF04DD22B9128F728');
INSERT INTO "picks" VALUES(7,'slate-4','ann',1,'k7','skip',NULL,NULL,'[]',NULL,'agent',NULL,1772367960000000,X'E97390A11104CDAA5C574CA4700A59E23467B520BD8CC07A6EC276094FFC6718',X'FED55755453502D0FAE46E7AC5B71473FDFAE3D5A9D2C7EDB087020A2AF4D521',X'DCB5D1BAD036EA3CDC2AAEE6CA77C576',X'E931F221C1EBBB47E645DE248F3F4CFE378A6BF9BC435D135E6C3DA3848A9B82',X'B9697DA801F033D69D2CE6D61110A6C9',X'7C383A142F8885B897B610B714F8191E3D5D9F7387FB23A41AEB7C29FC28BFEE');
INSERT INTO "picks" VALUES(8,'slate-5','ann',1,'k8','none_good',NULL,'Written by hand.','[]',NULL,'agent',NULL,1772368020000000,X'FED55755453502D0FAE46E7AC5B71473FDFAE3D5A9D2C7EDB087020A2AF4D521',X'0C80BE4A4F0361677390501FEF195B25349FB5142FA6C47EF574432A0BC82A6B',X'13EA3423DAA66BA022818DE67770E11A',X'2263226A4129724C120EC4E98BBCA6027FE0380E017E54DEDE0F8973DCD66A44',X'C0BFA19062ED200019321491A69063FC',X'85B8D0C10D7D7C80E49DA9832475E3C7016B2656F330DB6E21AB16A5099FD7D7');
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
INSERT INTO "reactions" VALUES(1,'slate-1','reply-1-1','customer 7','r1','up','[]',NULL,'user',1772368200000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'AA9ECD6D26FD9928E64DF7E5794E717BBE77D5E819A9B4C6C22A5B7FB82C5A56',X'23ECC9C62911949BE98BD7D7CE543FB4',X'C3CCC441D975F162C466248F273E38A23EBDE9BC8C897FFC5839CA4857BAAC46',X'7BD37E5332A3412D1AB2F7886878041E',X'D7F23C45695531083A852C526789AF3013EC63AD96B24A1AFCC7746E1491F3C0');
INSERT INTO "reactions" VALUES(2,'slate-1','reply-1-1','customer 7','r2','down','["wrong"]',NULL,'user',1772368200000000,X'AA9ECD6D26FD9928E64DF7E5794E717BBE77D5E819A9B4C6C22A5B7FB82C5A56',X'5ACE795D1CE116E468654D822B757A08025FE8722FF9DA1E500CAB7A904C62F8',X'24D7558BC31BD811390CBBBB47E05495',X'FB87CE7BA3ADAC42A1363F5CF2A9B285A969854A1DD9FB857C76F45C789ADC7F',X'F823CCCCDD0CB07EF9305A857ACBD258',X'746CA772C2EF6C8C8BF4251C1FAEF17C2493E9682FFE91443147E800807D02A2');
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
INSERT INTO "slates" VALUES('slate-1','turn-1','2+2',1,1,'[]',1772366460000000,X'E959B99ADAE43D070D203F548DA6DF45',X'8A6C68EB12FE890B2712CE57A820BCFFF4ADE894501295253A2E43F935843FBE',X'FD0D9AA58E27A5951AE79A6215498140738F1019A425ACD356086310A5820EAC');
INSERT INTO "slates" VALUES('slate-2','turn-2','2+2',2,1,'[]',1772366520000000,X'42E3D9FF82D7FDEB4C9D834EA596F7E5',X'33DEF891457E2F2624BFD03402C2C4E73F12CF2C25E0C5D1B6CEEB78FC21E63D',X'EFC7BA13B1182647272BDA8213FAFBBDA1B4E09DA017A00B329D2983C5EEB6A8');
INSERT INTO "slates" VALUES('slate-3','turn-3','2+2',3,1,'[]',1772366580000000,X'AE4DB807B17CB8B958A9016F20092A35',X'B54FCFA2A1C95CD02D1FF78B73968B65638F5E9020B95F181EAC0F513861BCD7',X'EB9E2BF50A03B8F0C2AEEDDFF2D8C847C3096FFE3C572A1AE3FFB9B8892003C1');
INSERT INTO "slates" VALUES('slate-4','turn-4','2+2',4,0,'["champion: late"]',1772366640000000,X'2379C9B65570FB0FD1B550E57D3B9D9A',X'591114228F99BF91073A1BEA6724C53F7C3F39454B4E75647ABCEC675AF28312',X'9A6952B031A1405CA234363FC8ADC055BA8E1C95A30A6F16891D7A9493F8E824');
INSERT INTO "slates" VALUES('slate-5','turn-5','2+2',5,1,'[]',1772366700000000,X'EE2B7A7E0377653506CC6402007FECD4',X'4C87C90A4F928E3C89EF7E43E6A73A17A15906987E13B8B51D216E345C6E207B',X'BF3195026926CD8B7FE4994C549CE83E2427B19504EA53AF32E06ECE570EB22C');
INSERT INTO "slates" VALUES('slate-6','turn-6','2+2',6,1,'[]',1772366760000000,X'FAD478B7C6E2C53EB5FF200ADC88A7E9',X'C36FCDDB052A76D6C85C4B686F715B0E6A7682613E6DC791BAC9A5A3453CEE89',X'C101167B16D88BB9A1463F550AC32D203E8EA5D4D875E1CA361724A4848FDD28');
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
CREATE INDEX campaign_slates_by_campaign ON campaign_slates (campaign);
CREATE TRIGGER campaigns_are_never_changed BEFORE UPDATE ON campaigns
BEGIN SELECT raise(ABORT, 'campaigns stay as they were made: close it and make another one'); END;
CREATE TRIGGER campaigns_are_never_deleted BEFORE DELETE ON campaigns
BEGIN SELECT raise(ABORT, 'campaigns stay as they were made: close it instead of deleting it'); END;
CREATE TRIGGER campaigns_are_never_replaced BEFORE INSERT ON campaigns
WHEN EXISTS (SELECT 1 FROM campaigns WHERE name = NEW.name)
BEGIN SELECT raise(ABORT, 'campaigns stay as they were made: use another name'); END;
CREATE TRIGGER campaign_closings_are_never_changed BEFORE UPDATE ON campaign_closings
BEGIN SELECT raise(ABORT, 'a campaign is closed once and for all: make another one'); END;
CREATE INDEX gate_decisions_by_adapter ON gate_decisions (adapter, id);
CREATE TRIGGER gate_decisions_are_never_changed BEFORE UPDATE ON gate_decisions
 BEGIN SELECT raise(ABORT, 'gate_decisions are append only'); END;
CREATE TRIGGER gate_decisions_are_never_deleted BEFORE DELETE ON gate_decisions
 BEGIN SELECT raise(ABORT, 'gate_decisions are append only'); END;
CREATE TRIGGER gate_decisions_are_never_replaced BEFORE INSERT ON gate_decisions
WHEN EXISTS (SELECT 1 FROM gate_decisions WHERE id = NEW.id) BEGIN SELECT raise(ABORT, 'gate_decisions are append only'); END;
CREATE TRIGGER gate_outcomes_are_never_changed BEFORE UPDATE ON gate_outcomes
 BEGIN SELECT raise(ABORT, 'gate_outcomes are append only'); END;
CREATE TRIGGER gate_outcomes_are_never_deleted BEFORE DELETE ON gate_outcomes
 BEGIN SELECT raise(ABORT, 'gate_outcomes are append only'); END;
CREATE TRIGGER gate_outcomes_are_never_replaced BEFORE INSERT ON gate_outcomes
WHEN EXISTS (SELECT 1 FROM gate_outcomes WHERE decision_id = NEW.decision_id) BEGIN SELECT raise(ABORT, 'gate_outcomes are append only'); END;
COMMIT;
