PRAGMA application_id = 1885954923;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'picktune','slates_and_decisions','2026-11-24 18:12:46.214629+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'picktune','hash_chain','2026-11-24 18:12:46.220107+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'picktune','decisions_with_scenario','2026-11-24 18:12:46.220440+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'picktune','signals_and_scores','2026-11-24 18:12:46.230899+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'picktune','revisions','2026-11-24 18:12:46.231515+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'picktune','campaigns_and_their_slates','2026-11-24 18:12:46.232975+00:00');
INSERT INTO "_sqlite_migrations" VALUES(7,'picktune','gate','2026-11-24 18:12:46.233591+00:00');
INSERT INTO "_sqlite_migrations" VALUES(8,'picktune','consent_and_erasing','2026-11-24 18:12:46.239092+00:00');
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
INSERT INTO "chains" VALUES('picks',8,X'EEB48258066D56488952CAB2601DB3ACCEB2BA0836079EF86380BD2F0985F622');
INSERT INTO "chains" VALUES('reactions',2,X'A9BB6B36A3474619241130FF77556E43BC0854651127B873F2E4B11124036092');
CREATE TABLE checks (id INTEGER PRIMARY KEY CHECK (id = 1), checked INTEGER NOT NULL) STRICT;
CREATE TABLE consents (
    scope TEXT NOT NULL CHECK (scope IN ('user', 'conversation')),
    ref TEXT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('none', 'log', 'train')),
    since INTEGER NOT NULL,
    PRIMARY KEY (scope, ref)
) STRICT, WITHOUT ROWID;
CREATE TABLE conversation_owners (
    conversation_id TEXT PRIMARY KEY,
    user_ref TEXT NOT NULL
) STRICT, WITHOUT ROWID;
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
CREATE TABLE erased_conversations (
    conversation_id TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE erasing (id INTEGER PRIMARY KEY CHECK (id = 1)) STRICT;
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
INSERT INTO "picks" VALUES(1,'slate-1','ann',1,'k1','chosen','reply-1-1','It''s on its way!','[]',NULL,'agent',900,1772367600000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'F9C6ED111EB262CE05763D5975A64B309FF7BDF280EF6D32EC239A514CABE313',X'76A956863619E26DEB5E0CD1D902B4C8',X'FDB0B6D2AA15A9CBC3036C5988518D57374DD8833B383E22345B337D07C438DB',X'52FC278E990658C67B74EDA8617CE8F8',X'2DDCCEFAACD4F6178EA8A04F43E32FF13A246F0DE765CC906D0622478A5E38A2');
INSERT INTO "picks" VALUES(2,'slate-2','ann',1,'k2','chosen','reply-2-0',NULL,'["polite"]','好','agent',NULL,1772367660000000,X'F9C6ED111EB262CE05763D5975A64B309FF7BDF280EF6D32EC239A514CABE313',X'36F3B0339D5463E8A28D5EE573574CE6569D50C293399491427697A3BDADEDA2',X'5E9FBA1FC29AC49DFB09E19D4994772E',X'35BAB1FEA2997AEFE31AE2FC88D1C4F385395FB8432A1883C63248BF112927B6',X'BB3E92F874F2E2E1D07226922BAD6185',X'42D47AC699553711FC7B64637EEDBED47F05E4CB45EE10E0984CD1B408ED26A1');
INSERT INTO "picks" VALUES(3,'slate-2','ann',2,'k3','undone',NULL,NULL,'[]',NULL,'agent',NULL,1772367720000000,X'36F3B0339D5463E8A28D5EE573574CE6569D50C293399491427697A3BDADEDA2',X'D1BB94E972400FC18F390C3BF8BF6A8F1E40EE26FA3D717FDAC7B36FEE61EBAE',X'329CF046379CD659E2C35C96A73FFC3B',X'1C1082400DAD4F6F08A37EAD1ADE37070B5AFCCD5191123CCE694CD8DC422FD2',X'0E40B546B7EC6674FC25722AEDAF6733',X'E731F0FA0B2F7F004FDA9B325F8F9763E78535DCDBB163E47235102628A49D38');
INSERT INTO "picks" VALUES(4,'slate-2','ann',3,'k4','chosen','reply-2-3',NULL,'[]',NULL,'agent',NULL,1772367780000000,X'D1BB94E972400FC18F390C3BF8BF6A8F1E40EE26FA3D717FDAC7B36FEE61EBAE',X'6864B4556F7C80CEC5B1BE507910ADD5515DE7E39DB8CF45C7A4427BFA78E295',X'372F865B17130E1AE21AC2715103CFB9',X'ECCA3A5D59FB335F16DED748998992892CB62DFAA4CEB198CFF784CE14663C30',X'4D3DAFCB029AE78DFBBEE230BAD7B20C',X'F5531C7EE844FA791E954D766CE098BB53F56CDC8D5B44C3702EA5082107507C');
INSERT INTO "picks" VALUES(5,'slate-2','bob',1,'k5','none_good',NULL,NULL,'[]',NULL,'expert',NULL,1772367840000000,X'6864B4556F7C80CEC5B1BE507910ADD5515DE7E39DB8CF45C7A4427BFA78E295',X'DB0AA47BCB1EC1694BB857D732227F7374083D7BE5646977FC78A97696FC327F',X'21B9C849EF5A753812B4638A2D536EC1',X'14BE1714B89DC3D527521713E73C6281D1E575D6E6D7A9534F84F05F6B2D0025',X'466306D7E9CD355667433EA36C0B1501',X'512967FE3C25FB66C4323A0326353B3A0F915869690EBCBEC16D6137A27910EF');
INSERT INTO "picks" VALUES(6,'slate-3','ann',1,'k6','tie','reply-3-0',NULL,'[]',NULL,'agent',NULL,1772367900000000,X'DB0AA47BCB1EC1694BB857D732227F7374083D7BE5646977FC78A97696FC327F',X'93A5B49CDE3643A6839D3434B51D290BFB24957F9613D985A33ED799F86D8081',X'95F359ADC3B4CF63615766EBB92F4DD7',X'BAD3083996F88F488C2486EF952B8A77525F5ACEFB92E9A9693369E545F41AF1',X'2682BB609682A829E5E5D45AEF7D351F',X'CA169E18BBD6F05527086A16D98F977C2CA279C3F3CA18452C45A628C9FE52E0');
INSERT INTO "picks" VALUES(7,'slate-4','ann',1,'k7','skip',NULL,NULL,'[]',NULL,'agent',NULL,1772367960000000,X'93A5B49CDE3643A6839D3434B51D290BFB24957F9613D985A33ED799F86D8081',X'A50FB67B3F2A29B3080D4728738F5AD869949304FD9AE633069AA818523C4A2D',X'DC713C613F54803C5905D4583952107F',X'FB425134EB29E77A0661D8716EE1C59339E53E3F5E79139829FFAA60FF0194EA',X'3917FDBC3EE4CFE8F8DEEBBB098BA08D',X'05B82151F64A12F1BFF78AB4B70CAC4FF963551F89DE09C0BF8E30949B6815E3');
INSERT INTO "picks" VALUES(8,'slate-5','ann',1,'k8','none_good',NULL,'Written by hand.','[]',NULL,'agent',NULL,1772368020000000,X'A50FB67B3F2A29B3080D4728738F5AD869949304FD9AE633069AA818523C4A2D',X'EEB48258066D56488952CAB2601DB3ACCEB2BA0836079EF86380BD2F0985F622',X'8B81F44935FB4C58B994F24FF51CE3CC',X'34844970D73B2CDDE258E02180F924FD768E7BD7537584874C708F2650F59FBB',X'F37B963DA06ED0A0D752D112E54A5812',X'F715E54267B0DA5323EB450600BC52F8B9A905119F9EB4646049AE6B76D4F7BB');
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
INSERT INTO "reactions" VALUES(1,'slate-1','reply-1-1','customer 7','r1','up','[]',NULL,'user',1772368200000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'2FFABC67BE33F52A8D470F49EE819CFE179CA68D853F494C2D31E91685E13E31',X'D2A7579F640E3A6C21721C46738DAACF',X'D7B6F5664F4428566251049F99B7615ED95AB3B9811840735DB1EF0427CA5FC0',X'3441C6B16D84E11BC6A622B1EA053E93',X'86B6C54DF4B281234F654F989F5E7DE6B1F72F4518BD82DD973854E96A431839');
INSERT INTO "reactions" VALUES(2,'slate-1','reply-1-1','customer 7','r2','down','["wrong"]',NULL,'user',1772368200000000,X'2FFABC67BE33F52A8D470F49EE819CFE179CA68D853F494C2D31E91685E13E31',X'A9BB6B36A3474619241130FF77556E43BC0854651127B873F2E4B11124036092',X'F99324FDC9D5DE421403BBF408F8E03B',X'2CCD077A7B11137D42261159406781F3FC400E77AB3835F16B0EABDCE381DAF8',X'5BFE9C3439B39B509B8252BF1764E349',X'585A2BDD7F3C3208AFC47C2EE77A2B8C996CB79D0FF241465A9763195ABC69EA');
CREATE TABLE restrictions (
    turn_id TEXT PRIMARY KEY,
    level TEXT NOT NULL CHECK (level IN ('log', 'erased'))
) STRICT, WITHOUT ROWID;
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
INSERT INTO "slates" VALUES('slate-1','turn-1','2+2',1,1,'[]',1772366460000000,X'0CFE4B38E3E6C3C57067E66B8489CBA0',X'5FD5B79522064C9E7A412BB0E6D090E3CB8CB20A09E8EC10AE7301317EC1EB37',X'D5E59E2E400CD58A4B231C4F144E52DECDEE269F979FDC4CFFE69CAAF273C51E');
INSERT INTO "slates" VALUES('slate-2','turn-2','2+2',2,1,'[]',1772366520000000,X'C9B73EB21C995E81CDE2150CA2889C60',X'84EA127A0FC6A749B68EEAC1AA485CE3EFF69191E538C9F17A9A685D762A96E4',X'DC3F7ACD40AC9CB461FECE44E4B0B80EDC88461AB7C8CDC7F4B31AAC9EAC3328');
INSERT INTO "slates" VALUES('slate-3','turn-3','2+2',3,1,'[]',1772366580000000,X'241F04E0E31F70718165D0394DCEDE07',X'51F8C2F99375B599B578B3FE4A81AF8318D80671D4193C28A38AD4D9408A1798',X'898134E4D5F60685A9634B6AF46F2863F28D51E822C3BA141EEA5DA31373285E');
INSERT INTO "slates" VALUES('slate-4','turn-4','2+2',4,0,'["champion: late"]',1772366640000000,X'A199D8D6289855AE9ADE281A4640455E',X'DF608A92767AA6D55BF776F80800E24D0D4A7227EAB57A9DD1403E357F0C6D79',X'122C8C68A80BC85C7573C3BF953A38C897D2B7122F105617D75F2389E2E576C2');
INSERT INTO "slates" VALUES('slate-5','turn-5','2+2',5,1,'[]',1772366700000000,X'B2CA41C343144ADCEFB8CC0BF46D48EB',X'03613ACAA3196AA7958F2B89DCF4FE77C907AFD45B2399BC3B9E43EF6841F3EA',X'E20D68B650C870F5F24E68C08DC76A4D75146C45704C2E6524ACA007ADA682B6');
INSERT INTO "slates" VALUES('slate-6','turn-6','2+2',6,1,'[]',1772366760000000,X'E79FDF6B3FF4053114C92AD11566D801',X'9845C07F21352A52D7393FBAC852381DFBE9CDC7FA200EF929745079433B48D7',X'9B17DB8B1B63D8E7B246C3323872BD06FC5191532A4322F9CAE907F47006F602');
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
CREATE TRIGGER slates_are_sealed BEFORE INSERT ON slates
WHEN NEW.salt IS NULL OR NEW.texts_hash IS NULL OR NEW.hash IS NULL
BEGIN SELECT raise(ABORT, 'slates are sealed by a hash: let a Picktune of this version write them'); END;
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
CREATE INDEX conversation_owners_by_user ON conversation_owners (user_ref);
CREATE INDEX turns_by_user ON turns (user_ref) WHERE user_ref IS NOT NULL;
CREATE INDEX exposures_by_viewer ON exposures (viewer);
CREATE INDEX reactions_by_annotator ON reactions (annotator)
;
CREATE TRIGGER picks_are_never_changed BEFORE UPDATE ON picks
WHEN NOT EXISTS (SELECT 1 FROM erasing) OR NEW.id IS NOT OLD.id OR NEW.slate_id IS NOT OLD.slate_id OR NEW.version IS NOT OLD.version OR NEW.verdict IS NOT OLD.verdict OR NEW.candidate_id IS NOT OLD.candidate_id OR NEW.role IS NOT OLD.role OR NEW.dwell_ms IS NOT OLD.dwell_ms OR NEW.decided_at IS NOT OLD.decided_at OR NEW.previous IS NOT OLD.previous OR NEW.hash IS NOT OLD.hash OR NEW.who_hash IS NOT OLD.who_hash OR NEW.texts_hash IS NOT OLD.texts_hash
    OR NOT ((NEW.who_salt IS OLD.who_salt AND NEW.annotator IS OLD.annotator AND NEW.key IS OLD.key)
        OR (NEW.who_salt IS NULL AND NEW.annotator LIKE 'erased-%' AND NEW.key LIKE 'erased-%'))
    OR NOT ((NEW.texts_salt IS OLD.texts_salt AND NEW.edited_text IS OLD.edited_text AND NEW.reasons IS OLD.reasons AND NEW.comment IS OLD.comment)
        OR (NEW.texts_salt IS NULL AND NEW.edited_text IS NULL AND NEW.reasons = '[]' AND NEW.comment IS NULL))
BEGIN SELECT raise(ABORT, 'picks are append only: record a new version instead of changing one'); END;
CREATE TRIGGER reactions_are_never_changed BEFORE UPDATE ON reactions
WHEN NOT EXISTS (SELECT 1 FROM erasing) OR NEW.id IS NOT OLD.id OR NEW.slate_id IS NOT OLD.slate_id OR NEW.candidate_id IS NOT OLD.candidate_id OR NEW.value IS NOT OLD.value OR NEW.role IS NOT OLD.role OR NEW.reacted_at IS NOT OLD.reacted_at OR NEW.previous IS NOT OLD.previous OR NEW.hash IS NOT OLD.hash OR NEW.who_hash IS NOT OLD.who_hash OR NEW.texts_hash IS NOT OLD.texts_hash
    OR NOT ((NEW.who_salt IS OLD.who_salt AND NEW.annotator IS OLD.annotator AND NEW.key IS OLD.key)
        OR (NEW.who_salt IS NULL AND NEW.annotator LIKE 'erased-%' AND NEW.key LIKE 'erased-%'))
    OR NOT ((NEW.texts_salt IS OLD.texts_salt AND NEW.reasons IS OLD.reasons AND NEW.comment IS OLD.comment)
        OR (NEW.texts_salt IS NULL AND NEW.reasons = '[]' AND NEW.comment IS NULL))
BEGIN SELECT raise(ABORT, 'reactions are append only: record another one instead of changing one'); END;
CREATE VIEW choice_sets AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, t.messages,
    (SELECT json_group_array(text) FROM (
        SELECT w.text FROM shown w WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator
        ORDER BY w.position)) AS replies,
    (SELECT w.position FROM shown w WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator
        AND w.candidate_id = p.candidate_id) AS chosen,
    p.annotator, p.role, t.tags, t.locale, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
WHERE p.verdict = 'chosen' AND (SELECT count(*) FROM candidates c WHERE c.slate_id = p.slate_id) >= 2 AND NOT EXISTS (SELECT 1 FROM restrictions x WHERE x.turn_id = t.id);
CREATE VIEW preferences AS
SELECT p.id AS pick_id, p.slate_id, t.messages, c.text AS chosen, w.text AS rejected, w.position,
    p.annotator, p.role, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
JOIN candidates c ON c.id = p.candidate_id
JOIN shown w ON w.slate_id = p.slate_id AND w.viewer = p.annotator AND w.candidate_id <> p.candidate_id
WHERE p.verdict = 'chosen' AND NOT EXISTS (SELECT 1 FROM restrictions x WHERE x.turn_id = t.id);
CREATE VIEW demonstrations AS
SELECT p.id AS pick_id, p.slate_id, t.messages, p.edited_text AS completion, p.annotator, p.role, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
LEFT JOIN candidates c ON c.id = p.candidate_id
WHERE p.edited_text IS NOT NULL AND p.edited_text IS NOT c.text AND NOT EXISTS (SELECT 1 FROM restrictions x WHERE x.turn_id = t.id);
CREATE VIEW edit_preferences AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, t.messages, p.edited_text AS chosen,
    c.text AS rejected, c.arm, c.also, c.model, p.annotator, p.role, t.tags, t.locale, p.decided_at
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id
JOIN candidates c ON c.id = p.candidate_id
WHERE p.edited_text IS NOT NULL AND p.edited_text <> c.text AND NOT EXISTS (SELECT 1 FROM restrictions x WHERE x.turn_id = t.id);
COMMIT;
