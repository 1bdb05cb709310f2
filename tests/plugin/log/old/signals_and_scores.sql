PRAGMA application_id = 1885954923;
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'picktune','slates_and_decisions','2026-11-24 17:52:07.412911+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'picktune','hash_chain','2026-11-24 17:52:07.417971+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'picktune','decisions_with_scenario','2026-11-24 17:52:07.418263+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'picktune','signals_and_scores','2026-11-24 17:52:07.424490+00:00');
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
INSERT INTO "chains" VALUES('picks',8,X'CFA7CDEED311F2E1D6C841D4484DD4E1C25B3D212DB461AF244F2E62695A6CFD');
INSERT INTO "chains" VALUES('reactions',2,X'AF66B90CDB43F0735622E79178BF5555B36E6689FB7825940CFA1BF7EFC596D1');
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
INSERT INTO "picks" VALUES(1,'slate-1','ann',1,'k1','chosen','reply-1-1','It''s on its way!','[]',NULL,'agent',900,1772367600000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'ED39CA694551DA620DB5CFA3E36B844735D149327210E83BC71A91169DADF5DF',X'96D56C1F7D7AC14DC7E4636FDD9170A4',X'D018B728E1553624634304317152360CF3317FE333EA29100B5661B27A1DD727',X'751DA0E78F527443DF25420A970AF032',X'FFE7E4E3FB3009B7B06762B26FBD8D5CC807E3EDE176EE27C0032DD0FFFF06DF');
INSERT INTO "picks" VALUES(2,'slate-2','ann',1,'k2','chosen','reply-2-0',NULL,'["polite"]','好','agent',NULL,1772367660000000,X'ED39CA694551DA620DB5CFA3E36B844735D149327210E83BC71A91169DADF5DF',X'5C88BDB68D2E8C1D68812839F06E7093F6E93335814C91991C19D3F39448DD5E',X'AA1BF68910DA80CA2BB1198120DA00A6',X'B7D2061ED168D68F9952A6084D62F78C2C89C40565E401F4775247F88E5C812D',X'73AD0BB7C4F714A4DEFB0FA0CBAC8C6C',X'041D552AFCA3EA114D4E186497FA13BFA359F33B82A4EB36E20080A7D4EF8F48');
INSERT INTO "picks" VALUES(3,'slate-2','ann',2,'k3','undone',NULL,NULL,'[]',NULL,'agent',NULL,1772367720000000,X'5C88BDB68D2E8C1D68812839F06E7093F6E93335814C91991C19D3F39448DD5E',X'3047AAF06AA902F342B1C619353BF335B3E1062609F5C3A126AF6153E07B638D',X'10B1ABC33CAD544BD6DBBE8D863030A4',X'7D8B208E13F250AF130000439C03B2198E5EE69B8FEF6542A026ACE3BBD31780',X'BD89B6409EE786FC4D3FF973FE88CBE5',X'B24E7BABA0C3038A7B18B61B677C580D1D8BEBC87E52244636D85B4B741CB6AA');
INSERT INTO "picks" VALUES(4,'slate-2','ann',3,'k4','chosen','reply-2-3',NULL,'[]',NULL,'agent',NULL,1772367780000000,X'3047AAF06AA902F342B1C619353BF335B3E1062609F5C3A126AF6153E07B638D',X'7CF4EB5DC27EF9FFB7132195C4A50A9D029FF5C5580FA5FA12AF8C0CD74DBD5F',X'82401AFBA2230213BBE7448A82A955D9',X'74BFCBE9DB1332F8201C56A99A8DA52C5722E8953E414B327A6D2D905F154A26',X'C9F02D2099A05F7DAA1C956BA81980A6',X'5E73D907618C35FDD23504FEE43B60C0E206D74109A0CC41199793A5F59D44F3');
INSERT INTO "picks" VALUES(5,'slate-2','bob',1,'k5','none_good',NULL,NULL,'[]',NULL,'expert',NULL,1772367840000000,X'7CF4EB5DC27EF9FFB7132195C4A50A9D029FF5C5580FA5FA12AF8C0CD74DBD5F',X'77F3927BDCB8B96BBB54091A6402175EE9866F85E25FFEF9ADE257AE4F0068DC',X'0C522E78208A70E425BEFC64EB6B9950',X'F5778D8D85950A8F4B7327B1731C1E35A514066821DFA3541FF961ADEAD21671',X'25F508EF186D96BC75FA9060C2FB5141',X'42464E4204D96FE808992E48D85BFD2D350A48EAA330BB93A245B2D8DE33077A');
INSERT INTO "picks" VALUES(6,'slate-3','ann',1,'k6','tie','reply-3-0',NULL,'[]',NULL,'agent',NULL,1772367900000000,X'77F3927BDCB8B96BBB54091A6402175EE9866F85E25FFEF9ADE257AE4F0068DC',X'783EA7F3717EEEA652C2B81E4ADA1C3A1EE8550CE8787ADC2B710C0ECAEF2F9D',X'7DC61694A7EB1A2691726B8951373969',X'CAB17326822B8ED7231DA50BB0CC7EB27436F9A9DC28A0E1612A9A7047335AF5',X'A2ACB620616074B72CAAF7C1E2E42E6D',X'26DBF1A67A5821FA6A2C8536279D76873E6DB25C92B41BA34839422A640F40DF');
INSERT INTO "picks" VALUES(7,'slate-4','ann',1,'k7','skip',NULL,NULL,'[]',NULL,'agent',NULL,1772367960000000,X'783EA7F3717EEEA652C2B81E4ADA1C3A1EE8550CE8787ADC2B710C0ECAEF2F9D',X'5B9E4F46E4A632347624500FD2A52D651263E1ECF03CE187EEBD05FCEFADEABC',X'C2FF1DCDDDBB12874DD6538EB821548D',X'67E7A7F44E427EC74B4B89D4A42BBCC54FD5D6671843CB8415A4A5A6C3EACA60',X'47927CF0519727E3CB65EFE7668AA83A',X'8619B77288A727E6E6F71A8B3E13B35AD8A72E69D2A3303D9C8341793096DF27');
INSERT INTO "picks" VALUES(8,'slate-5','ann',1,'k8','none_good',NULL,'Written by hand.','[]',NULL,'agent',NULL,1772368020000000,X'5B9E4F46E4A632347624500FD2A52D651263E1ECF03CE187EEBD05FCEFADEABC',X'CFA7CDEED311F2E1D6C841D4484DD4E1C25B3D212DB461AF244F2E62695A6CFD',X'EFC5F8698653CF81446D785CDCFB771B',X'19889CDFE2BDF2964F49C64C12DF52C5CBE7D3BC6DE059CF120E93530AD9EB7E',X'3011069CF2AA77B3773F675B8EBCB45F',X'5A2A8270D4D85372FC46002513D890603B683425F29DA41A763306E9A17DD48A');
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
INSERT INTO "reactions" VALUES(1,'slate-1','reply-1-1','customer 7','r1','up','[]',NULL,'user',1772368200000000,X'0000000000000000000000000000000000000000000000000000000000000000',X'CAE4E8EB65D359FA2BB14750F74E0559317508A7C37967DFB49A12E57519370C',X'C4079EE217878E2920D5D2B30402D26A',X'996B59F2DC9EAA5B956B4DC9AD234C26BD2EBD802D90C851D53DDE5CC7A3A379',X'0311F05D555C89182FB6133C5589C9F3',X'269E2C5C489A7C61FEDB6E89B8B107B327B6316D114152F8E4703B354636E9AD');
INSERT INTO "reactions" VALUES(2,'slate-1','reply-1-1','customer 7','r2','down','["wrong"]',NULL,'user',1772368200000000,X'CAE4E8EB65D359FA2BB14750F74E0559317508A7C37967DFB49A12E57519370C',X'AF66B90CDB43F0735622E79178BF5555B36E6689FB7825940CFA1BF7EFC596D1',X'A1AD91A9B706B983E5FF0DB1B190A37D',X'0FEAD9A1C6728A16A12BD925AF6A93FEBA3D7EA4904B94F71E159B1837C54436',X'1516D90A2B382DC362363EEC4A025547',X'8455BAF8836DA812C35FE8301F02598D00A4BABAC79F343C04C9455C2E323FEA');
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
INSERT INTO "slates" VALUES('slate-1','turn-1','2+2',1,1,'[]',1772366460000000,X'744EB8A607320471F72A9AEEA9554E11',X'09B617067DE9D5E9A37D53158AC542F0FDBB5CC43AAC84A0F7691E7ADDC92D69',X'BFDABC99372DF9C948F40F6BE3F26ABFC7D6772FBE4A39FE4859DEEC0F583808');
INSERT INTO "slates" VALUES('slate-2','turn-2','2+2',2,1,'[]',1772366520000000,X'1E943C41696F414E092F0DC7C28F2DC4',X'2A52485FA125BB155365C7FDB6811F2F68DCC53348B8D63A75FD5396ED8C8934',X'A341032CF17B525F5B43A04CF48D3D86AB765A6D7066AE02C923DC746B7D6AD0');
INSERT INTO "slates" VALUES('slate-3','turn-3','2+2',3,1,'[]',1772366580000000,X'FDD19C06210AACB4F36F5476D293463B',X'50005E8F7924C992334D7FC7BB3B46AA69350242690F105A015CBE0CB3C6267C',X'AB884CB748D03AFE636B2DE6C1BF7CB061979BC766E516927C980B654C8587F5');
INSERT INTO "slates" VALUES('slate-4','turn-4','2+2',4,0,'["champion: late"]',1772366640000000,X'030CBAAAB6B7B5B4B674D19BF2FD3653',X'7BE4B27F8F75CE513FDA7B014FC130EF0A029264405F05158D8DDFBDC77D3AA8',X'00F40A7BB8EF910FB19F589154F209CAFC832EFFE97C78644D78CA97E6520D36');
INSERT INTO "slates" VALUES('slate-5','turn-5','2+2',5,1,'[]',1772366700000000,X'0B4A4039A083E2CCF8A10038812BC107',X'3F1CD64468273E544310F2C72E428B80815B58EC45B3207FC7AA378940ABB808',X'5302556C4163CBB0C11499C6729D04CB90127122AC3CBAEA8DDC5D3EA96894FC');
INSERT INTO "slates" VALUES('slate-6','turn-6','2+2',6,1,'[]',1772366760000000,X'7AA2CEBE5354C9ABFEF7ED2AE1B06FB8',X'F85663AFED34C818573E2433BD6E654636A20D8E89F6C17E4F8D3FDF4EDEAF0C',X'2428AB15255F100245C551497CA500E13FBE5F6DF1F233B670642069474E17F2');
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
COMMIT;
