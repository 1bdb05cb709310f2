PRAGMA application_id = 1885954923;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'picktune','slates_and_decisions','2026-11-24 17:52:05.807310+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'picktune','hash_chain','2026-11-24 17:52:05.812439+00:00');
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
INSERT INTO "chains" VALUES('picks',8,X'A5418E3D4072CB3957029E02CA7026DFB5464953B86806184A69B7ED9C9967F4');
INSERT INTO "chains" VALUES('reactions',2,X'5CE33954EB8DD06A934DF1388ECB99168BBE0B835F935013C0741204C4B7EA4D');
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
INSERT INTO "picks" VALUES(1,'slate-1','ann',1,'k1','chosen','reply-1-1','It''s on its way!','[]',NULL,'agent',900,1772367600000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'2C865037CDF18517E0A640C22AD5E0E038BBACB0F243E6498C02BA6925931A31',X'AC38A82D114943335398102E2793454F',X'83877129818E04358C19A23659A7331F23082A764D7AA7B91A88A192878EB18A',X'5562F1EA955663B13CC30E597F42043A',X'BCD291C5A50D12A1302D6D968548D8BAC7E68F24464DFF935D07DE294E7A2B20');
INSERT INTO "picks" VALUES(2,'slate-2','ann',1,'k2','chosen','reply-2-0',NULL,'["polite"]','好','agent',NULL,1772367660000000,X'2C865037CDF18517E0A640C22AD5E0E038BBACB0F243E6498C02BA6925931A31',X'78592AA937558525983637EEAF50E34E1BD7BD72E0128CEBA35A011589BF9407',X'C798597E52DACDFD26B2A4B439DA9D0A',X'B32B3760260F85CC64C9BCFD9ED282F6E938F2D32EAB5D658C2A6117CB37DAE1',X'E05BF3259F0F599C463673641B1AF191',X'5454D7662DDB574A539625965AA5330019BBD9F008B57C5C1C20F25DB3F6E3A1');
INSERT INTO "picks" VALUES(3,'slate-2','ann',2,'k3','undone',NULL,NULL,'[]',NULL,'agent',NULL,1772367720000000,X'78592AA937558525983637EEAF50E34E1BD7BD72E0128CEBA35A011589BF9407',X'235E2A0225234EB833EE49A3ADBD46685A15D97960D22DD71E9F002AC56D62E5',X'A476C1CF80677909891B717AE17E2A13',X'3D5BF433079748D21D9C6C3B46964A11BF57FCD9D4ADE34A350F6C9504D86C4F',X'9D92344230E5592C19499050EB47BAD0',X'EFBC88686C0AE193F054A843E9D13FDA5494A8FD04CC3AAF649EAB28D2E62D51');
INSERT INTO "picks" VALUES(4,'slate-2','ann',3,'k4','chosen','reply-2-3',NULL,'[]',NULL,'agent',NULL,1772367780000000,X'235E2A0225234EB833EE49A3ADBD46685A15D97960D22DD71E9F002AC56D62E5',X'49C47EC6F1FB799D31AF2CD3315BB5D1A5FF6D66A09B77255BE54425CAF1FC33',X'F2B8A8530D25AE2CD7FBA6D6346B14B6',X'F43D9E29FFA938F38C98E77816C00D9EDC53934FEE83D9BB7AA0D63E4796CA26',X'109AD0DA09F47B883BB2E63FCD6C95CE',X'61CA46B558419EBF6D7FDD9FCA6022385A2DC40BB4021DF6AAF061C752F58C0E');
INSERT INTO "picks" VALUES(5,'slate-2','bob',1,'k5','none_good',NULL,NULL,'[]',NULL,'expert',NULL,1772367840000000,X'49C47EC6F1FB799D31AF2CD3315BB5D1A5FF6D66A09B77255BE54425CAF1FC33',X'A0CCE3773B7F665FA133A9A53935D5A34E548621EAB077F58781377BD60C8041',X'B5E138F6ADD56C30ACA29BF4AC94F777',X'C11170D7E94AF8EA344070E215C1D97D15F350303A7C8E70E45389C23CDF99B6',X'2451B7592D2C39FED8DDBF2F63AFCBBD',X'A111AE0EBABEE5D8E6F96EFB8CDDCEA655FC639B8F67F5A4DA0B12E674FCE513');
INSERT INTO "picks" VALUES(6,'slate-3','ann',1,'k6','tie','reply-3-0',NULL,'[]',NULL,'agent',NULL,1772367900000000,X'A0CCE3773B7F665FA133A9A53935D5A34E548621EAB077F58781377BD60C8041',X'EF6AAE3826AFA75E0E3C6CB1D13E8E9E88F60D87345626EF651DBEC38AFAD1E9',X'F4163A1B675DE99C2F4800755C3629CC',X'323ACDB6CE6493DCD2C37FFCC2839F46D8A7E64156222DFE209793E2A8E194CA',X'45ECA22CDCC13011DCF9B1D783691F71',X'D593EAECE3DF76A027DC804A0DF203EBE6AC659411BE40FAA6ACAA85494FE890');
INSERT INTO "picks" VALUES(7,'slate-4','ann',1,'k7','skip',NULL,NULL,'[]',NULL,'agent',NULL,1772367960000000,X'EF6AAE3826AFA75E0E3C6CB1D13E8E9E88F60D87345626EF651DBEC38AFAD1E9',X'6BEEFE38205DC6D7B8BC9CB3555EBF96F04D34F6A2F232544D91F6424F7491E8',X'34065C661672CC1AA71744FF6C8A02EF',X'D9B649A8B8FC5F33D227D462C754BD170B2502F353F6CAE9205B617191545A83',X'0F735AF1C2BCE9BA9650D00C2E81C790',X'E764060659FDBA1CA376140830487EB4824639DB16C8E8D8A8F8D916B5E731C8');
INSERT INTO "picks" VALUES(8,'slate-5','ann',1,'k8','none_good',NULL,'Written by hand.','[]',NULL,'agent',NULL,1772368020000000,X'6BEEFE38205DC6D7B8BC9CB3555EBF96F04D34F6A2F232544D91F6424F7491E8',X'A5418E3D4072CB3957029E02CA7026DFB5464953B86806184A69B7ED9C9967F4',X'F7048CBCA03E6A09AAFE1D39ADF809B0',X'3C8276332DCE6E2666E2537C74B1E8590C82943B16B970C217546E2DAC794349',X'3E5EFE5DDC14F1725B1CB1929CE56C53',X'8012C1DDFFCDF72DAC1156412C0990E02E3F7B1F64640842C10B61D5CE7FAA0D');
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
INSERT INTO "reactions" VALUES(1,'slate-1','reply-1-1','customer 7','r1','up','[]',NULL,'user',1772368200000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'7E502656DEA80D7971C7552CF4840EBCCED6E4A9F9E60A875D4FC4A3F2D11298',X'E174161D1500227A1F620FAC82BCD607',X'070FBDA4AEE061FA54EF3EDA88AB3FF1F9663DF778409D23DF4E8052DA472FE2',X'0ABDBC98ADA03B161F1FB5F460401D6A',X'28FF9D2D032AE0BBD42956E12F113D8D72E258859B8DF8EDFC868DD07E6A2CFD');
INSERT INTO "reactions" VALUES(2,'slate-1','reply-1-1','customer 7','r2','down','["wrong"]',NULL,'user',1772368200000000,X'7E502656DEA80D7971C7552CF4840EBCCED6E4A9F9E60A875D4FC4A3F2D11298',X'5CE33954EB8DD06A934DF1388ECB99168BBE0B835F935013C0741204C4B7EA4D',X'21BDAAD69879DF9C05B7230DA1F8EF6F',X'651472A27735F05E19D7BD9249E7BC2A53A73BFF371C6B80452EDDEFD50BF84E',X'B01F0073282BD374FA9D3959DBBFC223',X'635A4279A6A4A78B0A8479F00068077CE8DC728095B4643710F9504FCCB71014');
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
INSERT INTO "slates" VALUES('slate-1','turn-1','2+2',1,1,'[]',1772366460000000,X'4FC872D07CEDBFDA7FEBEDB236ECBF89',X'54A96AE5E0A8586D6C09BE24D15C6F34725117C8BC3727C2D20D5E19208419A7',X'DD84B943AC1F0040928AF264B738D04E8A5889F099604B9DC0446CB1B20CF23B');
INSERT INTO "slates" VALUES('slate-2','turn-2','2+2',2,1,'[]',1772366520000000,X'677CAE961B65F58F5BE61861B1E2F5FB',X'0388378004B87DB1ACA6BBF3E5FE5606EDD4EFC172A92DEF8BFB987EEC9FFD55',X'76EDF66919BB5FDA2DAD88C7104454BFC0B389844045C108F6152EA586D01C39');
INSERT INTO "slates" VALUES('slate-3','turn-3','2+2',3,1,'[]',1772366580000000,X'05920BB7441BAF4E1B247258400FAC69',X'AE37E78041C39D0C650581BAFA0EB812224936623F342367FBDF385ADCBF292C',X'B5D0BF8326721487C25A3EA4C0343FA536A4EBF0D9108DF99129FD2085994177');
INSERT INTO "slates" VALUES('slate-4','turn-4','2+2',4,0,'["champion: late"]',1772366640000000,X'508700B66B4F7CCBD7E5260EB022E260',X'18522929511615936FDC7B4C604750BB2FFB0DB06DDAC7754C5613441BDF5398',X'9CE1EE1F9DFFC96143EB45FFF576D04E594D30025C774AD81703673285B638AE');
INSERT INTO "slates" VALUES('slate-5','turn-5','2+2',5,1,'[]',1772366700000000,X'02153186D3EA59A27A6886B9BE63B1D7',X'4ED79873288782D517673EC6B4F91EF257F9E801469092A367510096BE20F6A1',X'AFFA4B99CCDB37149CE36824584715CE1DD503CA27C12E229CB1CAC96D80FA97');
INSERT INTO "slates" VALUES('slate-6','turn-6','2+2',6,1,'[]',1772366760000000,X'60B995A4A4110A3B6FF8F89BE0E2438A',X'E76EBCBEC618C6761D8D3AD6FFA71229F9290D9D53ABFF0BD4966643D3AF7E0C',X'F26EF83CE6C238D8611A1BF8928EE529E1DC6A88081F54F30B721E86EBCFAF49');
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
CREATE VIEW decisions AS
SELECT p.id AS pick_id, p.slate_id, t.conversation_id, p.annotator, p.role, p.verdict, s.complete, t.tags,
    t.locale, p.decided_at,
    (SELECT json_group_array(json(one)) FROM (
        SELECT json_array(w.arm, json(w.also), w.model, w.candidate_id IS p.candidate_id) AS one FROM shown w
        WHERE w.slate_id = p.slate_id AND w.viewer = p.annotator ORDER BY w.position)) AS candidates,
    (SELECT json_array(a.champion, a.challenger) FROM alias_changes a WHERE a.seen_at <= s.created_at
        ORDER BY a.seen_at DESC, a.id DESC LIMIT 1) AS aliases
FROM standing_picks p JOIN slates s ON s.id = p.slate_id JOIN turns t ON t.id = s.turn_id;
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
COMMIT;
